// What a script of madrpc has beside the language: `madrpc`, and the globals of its lane.
//
// `madrpc init` writes this file beside a script, so that an editor completes and checks it; it is not read when the script
// runs. Of the language there is what ES2024 has, without Intl.

/** What travels as an argument or as a result. Instances of classes travel by their own properties, or as their `toJSON` says. */
type MadrpcValue =
  | undefined | null | boolean | number | bigint | string | Date
  | ArrayBuffer | MadrpcTypedArray
  | readonly MadrpcValue[]
  | { readonly [key: string]: MadrpcValue };

type MadrpcTypedArray =
  | Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array | Int32Array | Uint32Array
  | Float32Array | Float64Array | BigInt64Array | BigUint64Array;

/** What a kernel takes; it reads and writes arrays where they are. */
type MadrpcKernelArgument = number | boolean | Exclude<MadrpcTypedArray, BigInt64Array | BigUint64Array>;

/** What a script says about a function when it registers it; what is left out is as the node has it for all. */
interface MadrpcOptions {
  /** Running it twice does no harm: it may be called again where its node is lost. Default: false. */
  idempotent?: boolean;
  /** Every call gets a context in which nothing ran but the script. Default: false. */
  isolate?: boolean;
  /** The longest deadline, in milliseconds; that of a caller who allows more is cut to it. From 1 to a day. */
  timeoutMs?: number;
  /** Time on the core, in milliseconds, of a call with all the calls below it. From 1 to a day. */
  cpuMs?: number;
  /** What a call may hold beside its script, in MiB: heap, and arguments, answers and results on their way. From 1 to 4096. */
  memoryMb?: number;
  /** Stack of JavaScript, in KiB. From 16 to 768. */
  stackKb?: number;
  /** The largest argument and the largest result, in KiB. From 1 to 65536. */
  bodyKb?: number;
  /** Calls that wait for a lane of one shard. */
  queue?: number;
  /** Calls under way at the same time on the whole node. */
  maxConcurrent?: number;
  /** Calls in a second on the whole node. */
  rate?: number;
  /** How many of them may come at once. Default: as many as in a second. Needs `rate`. */
  burst?: number;
}

/** What a caller says about a call. */
interface MadrpcCallOptions {
  /** Milliseconds that it may take. The deadline of the call that calls holds all the same. */
  timeoutMs?: number;
}

/** How a call has failed. */
type MadrpcErrorKind =
  | "JavaScript" | "NoSuchFunction" | "BadArguments" | "DeadlineExceeded" | "Cancelled" | "CpuLimit" | "MemoryLimit"
  | "StackLimit" | "Overloaded" | "Unavailable" | "PayloadTooLarge" | "Unauthorized" | "Protocol" | "Internal";

/**
 * What a failed call throws: for `kind` "JavaScript" with the name, the message, the `cause` and the own properties of what was
 * thrown there, else named after its kind.
 */
interface MadrpcError extends Error {
  kind: MadrpcErrorKind;
  /** Whether the function may have run. */
  mayHaveRun: boolean;
  /** The stack where it was thrown. */
  remoteStack?: string;
  /** What was thrown, where that was no error and no object. */
  thrown?: unknown;
}

interface Madrpc {
  /**
   * Registers a function under a name, while the script loads. It takes one argument and returns its result or a promise of it;
   * a generator streams what it yields. A script that registers nothing has the functions registered that it exports, with
   * options from `export const options = { name: { … } }`.
   *
   * @throws TypeError where the name is taken or reserved ("madrpc."), or an option makes no sense.
   */
  register<Argument = any>(name: string, fn: (argument: Argument) => unknown, options?: MadrpcOptions): void;

  /** Calls a function, on any node of the cluster. Rejects with a {@link MadrpcError}. */
  call<Result = any>(name: string, argument?: unknown, options?: MadrpcCallOptions): Promise<Result>;

  /** The same for code that is not asynchronous: it waits, and the core is others' meanwhile. */
  callSync<Result = any>(name: string, argument?: unknown, options?: MadrpcCallOptions): Result;

  /** The items of a function that streams, as they come; what it returns is the value at the end. Leaving the loop ends it. */
  stream<Item = any, Result = any>(
    name: string, argument?: unknown, options?: MadrpcCallOptions,
  ): AsyncGenerator<Item, Result | undefined, void>;

  /**
   * Calls a function for each argument that the list gives, `concurrency` at a time (default: 256). Gives the results in the
   * order of the list. None is begun after one has failed.
   */
  map<Result = any>(
    name: string, list: Iterable<unknown> | AsyncIterable<unknown>,
    options?: MadrpcCallOptions & { concurrency?: number },
  ): Promise<Result[]>;

  /**
   * Compiles a numeric function, `function name(…) { … }`, to machine code; it is called like any other. `captured` has what it
   * uses from outside: numbers, booleans and other kernels.
   *
   * @throws SyntaxError or TypeError with the place, where it is more than numbers, booleans and typed arrays.
   */
  kernel<Arguments extends MadrpcKernelArgument[], Result extends number | boolean | void>(
    fn: (...args: Arguments) => Result,
    captured?: { readonly [name: string]: number | boolean | ((...args: any[]) => number | boolean | void) },
  ): (...args: Arguments) => Result;

  /** When the call ends at the latest, in milliseconds since 1970. */
  readonly deadline: number;
  /** Whether the call has to end. */
  readonly cancelled: boolean;
  /** The name of the node. */
  readonly node: string;
  /** The trace that the call belongs to, as a header of W3C Trace Context. */
  readonly traceparent: string | undefined;
}

declare const madrpc: Madrpc;

/** Writes to the node's log, with the function's name and the call's number. */
declare const console: {
  assert(holds?: unknown, ...values: unknown[]): void;
  clear(): void;
  count(label?: string): void;
  countReset(label?: string): void;
  debug(...values: unknown[]): void;
  dir(value?: unknown, options?: { depth?: number }): void;
  dirxml(...values: unknown[]): void;
  error(...values: unknown[]): void;
  group(...values: unknown[]): void;
  groupCollapsed(...values: unknown[]): void;
  groupEnd(): void;
  info(...values: unknown[]): void;
  log(...values: unknown[]): void;
  profile(label?: string): void;
  profileEnd(label?: string): void;
  table(value?: unknown, columns?: readonly string[]): void;
  time(label?: string): void;
  timeEnd(label?: string): void;
  timeLog(label?: string, ...values: unknown[]): void;
  timeStamp(label?: string): void;
  trace(...values: unknown[]): void;
  warn(...values: unknown[]): void;
};

/** Timers are those of one call: none fires after it, nor one that is set while the script loads. */
declare function setTimeout<Arguments extends unknown[]>(fn: (...args: Arguments) => void, ms?: number, ...args: Arguments): number;
declare function setInterval<Arguments extends unknown[]>(fn: (...args: Arguments) => void, ms?: number, ...args: Arguments): number;
declare function clearTimeout(timer?: number): void;
declare function clearInterval(timer?: number): void;
declare function queueMicrotask(fn: () => void): void;

declare function structuredClone<T>(value: T): T;
declare function atob(base64: string): string;
declare function btoa(latin1: string): string;

declare const performance: { now(): number; readonly timeOrigin: number };

declare const crypto: {
  /** At most 65536 bytes at once. */
  getRandomValues<T extends MadrpcTypedArray>(array: T): T;
  randomUUID(): `${string}-${string}-${string}-${string}-${string}`;
};

declare class TextEncoder {
  readonly encoding: string;
  encode(text?: string): Uint8Array;
  encodeInto(text: string, target: Uint8Array): { read: number; written: number };
}

/** Of UTF-8. */
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  readonly encoding: string;
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  decode(bytes?: ArrayBufferLike | ArrayBufferView, options?: { stream?: boolean }): string;
}

declare class URL {
  constructor(url: string | URL, base?: string | URL);
  static canParse(url: string | URL, base?: string | URL): boolean;
  static parse(url: string | URL, base?: string | URL): URL | null;
  hash: string;
  host: string;
  hostname: string;
  href: string;
  readonly origin: string;
  password: string;
  pathname: string;
  port: string;
  protocol: string;
  search: string;
  readonly searchParams: URLSearchParams;
  username: string;
  toJSON(): string;
  toString(): string;
}

declare class URLSearchParams implements Iterable<[string, string]> {
  constructor(init?: string | URLSearchParams | Iterable<readonly [string, string]> | Record<string, string>);
  readonly size: number;
  append(name: string, value: string): void;
  delete(name: string, value?: string): void;
  entries(): IterableIterator<[string, string]>;
  forEach(fn: (value: string, name: string, params: URLSearchParams) => void, self?: unknown): void;
  get(name: string): string | null;
  getAll(name: string): string[];
  has(name: string, value?: string): boolean;
  keys(): IterableIterator<string>;
  set(name: string, value: string): void;
  sort(): void;
  toString(): string;
  values(): IterableIterator<string>;
  [Symbol.iterator](): IterableIterator<[string, string]>;
}

declare class DOMException extends Error {
  constructor(message?: string, name?: string);
  readonly code: number;
}

/** Only where madrpc is built with it (`--features wasm`). There is no shared memory, and no externref. */
declare namespace WebAssembly {
  type Bytes = ArrayBuffer | ArrayBufferView;
  type ValueType = "i32" | "i64" | "f32" | "f64" | "anyfunc" | "funcref";
  type Kind = "function" | "table" | "memory" | "global";
  /** Numbers, or BigInts for i64. */
  type Value = number | bigint | Function | null;
  type Export = Function | Memory | Table | Global;
  type Imports = Record<string, Record<string, Export | number | bigint>>;

  class Module {
    constructor(bytes: Bytes);
    private readonly module: never;
    static exports(module: Module): { name: string; kind: Kind }[];
    static imports(module: Module): { module: string; name: string; kind: Kind }[];
    static customSections(module: Module, name: string): ArrayBuffer[];
  }
  class Instance {
    constructor(module: Module, imports?: Imports);
    /** What they are is not known here. */
    readonly exports: Readonly<Record<string, any>>;
  }
  class Memory {
    /** In pages of 64 KiB, of which there are at most 32,767. */
    constructor(descriptor: { initial: number; maximum?: number });
    /** Another one after the memory has grown. */
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  }
  class Table {
    constructor(descriptor: { element: "anyfunc" | "funcref"; initial: number; maximum?: number }, value?: Function | null);
    readonly length: number;
    get(index: number): Function | null;
    set(index: number, value?: Function | null): void;
    grow(elements: number, value?: Function | null): number;
  }
  class Global {
    constructor(descriptor: { value: ValueType; mutable?: boolean }, value?: Value);
    value: any;
    valueOf(): any;
  }
  class CompileError extends Error { private readonly compile: never; }
  class LinkError extends Error { private readonly link: never; }
  class RuntimeError extends Error { private readonly runtime: never; }

  function validate(bytes: Bytes): boolean;
  function compile(bytes: Bytes): Promise<Module>;
  function instantiate(bytes: Bytes, imports?: Imports): Promise<{ module: Module; instance: Instance }>;
  function instantiate(module: Module, imports?: Imports): Promise<Instance>;
}

/** Its exports; what they are is not known here. */
declare module "*.wasm";
