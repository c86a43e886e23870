use crate::erase::erase;
use crate::text::is_line_end;
use oxc_allocator::Allocator;
use oxc_parser::Parser;
use oxc_span::SourceType;

/// Each text, and what it becomes: what is blanked is `·` here.
const ERASED: &[(&str, &str)] = &[
    ("let a: number = 1;", "let a· ······ = 1;"),
    ("let a!: string; let b: T;", "let a·· ······; let b· ·;"),
    (
        "const { a, b }: { a: T; b: U } = c;",
        "const { a, b }· · ·· ·· ·· · · = c;",
    ),
    (
        "let a = b as const as T satisfies U;",
        "let a = b ·· ····· ·· · ········· ·;",
    ),
    (
        "let a = (b as any)?.c!.d![0]!;",
        "let a = (b ·· ···)?.c·.d·[0]·;",
    ),
    (
        "a! = 1; (a as any) = 2; a!++; [a as any] = b;",
        "a· = 1; (a ·· ···) = 2; a·++; [a ·· ···] = b;",
    ),
    (
        "f<T>(a); new F<T, U>(b); new G<T>; h<T>`t`; a?.<T>(b)",
        "f···(a); new F··· ··(b); new G···; h···`t`; a?.···(b)",
    ),
    (
        "const g = f<number>; const h = Map<string, T>;",
        "const g = f········; const h = Map········ ··;",
    ),
    (
        "if (a < b && c > d) e(a<b>(c));",
        "if (a < b && c > d) e(a···(c));",
    ),
    (
        "function f<T extends U = V>(this: W, a?: T, ...b: T[]): asserts a is T {}",
        "function f·· ······· · · ··(····· ·· a·· ·, ...b· ···)· ······· · ·· · {}",
    ),
    (
        "function f(this: W) {} function g(a: T = 1, { b }: U = {}) {}",
        "function f(····· ·) {} function g(a· · = 1, { b }· · = {}) {}",
    ),
    (
        "const f = <T,>(a: T): a is U => a;",
        "const f = ····(a· ·)· · ·· · => a;",
    ),
    (
        "const f = async <const T>(a?: T): Promise<T> => a;",
        "const f = async ······ ··(a·· ·)· ·········· => a;",
    ),
    (
        "const f = async function* <T>(this: T): AsyncGenerator<T> {};",
        "const f = async function* ···(····· ·)· ················· {};",
    ),
    (
        "try {} catch (e: unknown) {}",
        "try {} catch (e· ·······) {}",
    ),
    (
        "for (const a of b as T[]) {} for (let i: number = 0, n: T = 1; i < n; i++) {}",
        "for (const a of b ·· ···) {} for (let i· ······ = 0, n· · = 1; i < n; i++) {}",
    ),
    (
        "a ? (b) : c => d; a ? (b): c => d : e;",
        "a ? (b) : c => d; a ? (b)· · => d : e;",
    ),
    (
        "switch (a as T) { case b as U: type X = 1; let c: T; }",
        "switch (a ·· ·) { case b ·· ·: ;··· · · ·· let c· ·; }",
    ),
    (
        "let o = { m<T>(a: T): T { return a }, get x(): T { return 1 }, async *g<T>() {}, a: b as T, [c as string]: 1 };",
        "let o = { m···(a· ·)· · { return a }, get x()· · { return 1 }, async *g···() {}, a: b ·· ·, [c ·· ······]: 1 };",
    ),
    (
        "`${a as T}${`${b!}`}`; f(a as T, b!, ...c as T[]);",
        "`${a ·· ·}${`${b·}`}`; f(a ·· ·, b·, ...c ·· ···);",
    ),
    ("type A<T> = { a: T };", ";··· ···· · · ·· · ··"),
    (
        "interface A<T> extends B { (a: T): void }",
        ";········ ···· ······· · · ··· ··· ···· ·",
    ),
    (
        "declare const a: T; declare function f(): T; declare class C {} declare enum E {}",
        ";······ ····· ·· ·· ;······ ········ ···· ·· ;······ ····· · ·· ;······ ···· · ··",
    ),
    (
        "declare module 'x' { let a } declare global { interface A {} } declare namespace N { let a: T }",
        ";······ ······ ··· · ··· · · ;······ ······ · ········· · ·· · ;······ ········· · · ··· ·· · ·",
    ),
    ("type A = 1\n(a)", ";··· · · ·\n(a)"),
    (
        "function f(a: T): void;\nfunction f(a: T) {}",
        ";······· ···· ··· ·····\nfunction f(a· ·) {}",
    ),
    (
        "export function f(a: T): void;\nexport function f(a: T) {}",
        ";····· ········ ···· ··· ·····\nexport function f(a· ·) {}",
    ),
    (
        "export default function f(): void; export default function f() {}",
        ";····· ······· ········ ···· ····· export default function f() {}",
    ),
    (
        "export default interface A {}",
        ";····· ······· ········· · ··",
    ),
    (
        "import type A from 'a'; import type { B } from 'b'; import { type C, d, type E } from 'c';",
        ";····· ···· · ···· ···· ;····· ···· · · · ···· ···· import { ···· ·· d, ···· · } from 'c';",
    ),
    (
        "import { type } from 'a'; import { type as as } from 'b'; import type c = require('c');",
        "import { type } from 'a'; import { type as as } from 'b'; ;····· ···· · · ·············",
    ),
    (
        "export type { A } from 'a'; export type * from 'b'; export { type C, d }; export type F = 1;",
        ";····· ···· · · · ···· ···· ;····· ···· · ···· ···· export { ···· ·· d }; ;····· ···· · · ··",
    ),
    (
        "export abstract class A<T> extends B<T> implements C, D {}",
        "export ········ class A··· extends B··· ·········· ·· · {}",
    ),
    (
        "export default abstract class { } class B extends (c as T)<U> implements D {} x = class<T> implements U {};",
        "export default ········ class { } class B extends (c ·· ·)··· ·········· · {} x = class··· ·········· · {};",
    ),
    (
        "class A { private readonly a?: number = 1; public static b: T; protected *g() {} async h<T>() {} foo?(a: T): void {} }",
        "class A { ;······ ········ a·· ······ = 1; ;····· static b; ·; ;········ *g() {} async h···() {} foo·(a· ·)· ···· {} }",
    ),
    (
        "class A { constructor(a: T); constructor(a: T) { super(); } abstract c(): void; declare d: T; static [k: string]: T }",
        "class A { ;············· ··· constructor(a· ·) { super(); } ;······· ···· ····· ;······ ·· ·· ;····· ··· ········ · }",
    ),
    (
        "class A { override readonly [k]: T = 2; static override s; get x(): T { return 1 } private set x(v: T) {} #p!: T }",
        "class A { ;······· ········ [k]· · = 2; static ········ s; get x()· · { return 1 } ;······ set x(v· ·) {} #p;· · }",
    ),
    (
        "abstract class A { abstract x: T; abstract get y(): T; abstract accessor z: T; static { let a: T; } }",
        "········ class A { ;······· ·· ·· ;······· ··· ···· ·· ;······· ········ ·· ·· static { let a· ·; } }",
    ),
    ("let x = y as T\n(z)", "let x = y ;· ·\n(z)"),
    ("let x = y as T // c\n[z]", "let x = y ;· · // c\n[z]"),
    (
        "let x = () => y satisfies T\n`z`",
        "let x = () => y ;········ ·\n`z`",
    ),
    ("let x = y as T\n/ z", "let x = y ·· ·\n/ z"),
    ("(a as T)\n(b)", "(a ·· ·)\n(b)"),
    (
        "class A { x = 1\n public [y] = 2\n static: T\n foo() {}\n get?: T\n [w]() {} }",
        "class A { x = 1\n ;····· [y] = 2\n static; ·\n foo() {}\n get;· ·\n [w]() {} }",
    ),
    (
        "const f = (a: T)\n  : Promise<T> =>\n 1",
        "const f = (a· ··\n  · ·········) =>\n 1",
    ),
    (
        "const f = (a) /* c\n */: { a: '漢' } => 1",
        "const f = (a· /* c\n */· · ·· ··· ) => 1",
    ),
    (
        "const f = async <\nT\n>(a: T) => 1",
        "const f = async (\n·\n··a· ·) => 1",
    ),
    (
        "function f() { return <T>\n(a) => 1 }",
        "function f() { return (··\n·a) => 1 }",
    ),
    (
        "let a: {\u{2028} b\u{2029} }\r\n = 1;",
        "let a· ·\u{2028} ·\u{2029} ·\r\n = 1;",
    ),
    ("let a: '漢😀grün' = 1;", "let a· ········· = 1;"),
    (
        "/* c */ let a /* d */ : /* e */ T /* f */;\r\nlet b: U;\r\n",
        "/* c */ let a /* d */ · ·· · ·· · /* f */;\r\nlet b· ·;\r\n",
    ),
    (
        "#!/usr/bin/env node\nlet a: T;",
        "#!/usr/bin/env node\nlet a· ·;",
    ),
    ("type\nA = 1; declare\nlet a", "type\nA = 1; declare\nlet a"),
];

/// Each text, the place that is told, and some words of what is.
const REFUSED: &[(&str, (usize, usize), &str)] = &[
    (
        "let a;\nenum A { B }",
        (2, 1),
        "`const NAME = { … } as const`",
    ),
    ("export const enum A { B }", (1, 8), "an enum"),
    (
        "namespace A.B { type T = 1; let a; }",
        (1, 1),
        "a namespace",
    ),
    ("  module A { let x }", (1, 3), "a namespace"),
    ("import a = require('a')", (1, 1), "from \"…\"`"),
    ("export import a = b.c", (1, 8), "from \"…\"`"),
    ("export = a", (1, 1), "export default"),
    ("let a = <T>b", (1, 9), "`value as T`"),
    (
        "class A { constructor(private a: T) {} }",
        (1, 23),
        "assign it",
    ),
    ("@d class A {}", (1, 1), "decorators"),
    ("class A { @d a; }", (1, 11), "decorators"),
    ("class A { accessor a: T = 1 }", (1, 11), "getter"),
    ("/* 漢 */ let a: = 1", (1, 16), "Unexpected token"),
    ("let a: {\n", (2, 1), "`}`"),
    ("type A = ", (1, 10), "Unexpected"),
    ("let a = <div/>;", (1, 13), "`>`"),
    (
        "const x = {\r\n  a: 1,\r\n  b: ,\r\n}",
        (3, 6),
        "Unexpected token",
    ),
    ("let a b", (1, 6), "semicolon"),
    ("if (a) type X = 1;", (1, 8), "block"),
];

/// The erased text, where what has become white space is marked.
fn marked(text: &str, erased: &str) -> String {
    let is_blank = |char| matches!(char, ' ' | '\u{a0}' | '\u{3000}');
    let mark = |(at, is): (usize, char)| {
        let was = text.get(at..).and_then(|text| text.chars().next());
        match is_blank(is) && !was.is_some_and(is_blank) {
            true => '·',
            false => is,
        }
    };
    erased.char_indices().map(mark).collect()
}

/// What holds of every text that is erased: all else is where it was, and it is JavaScript.
pub(super) fn assert_erased(text: &str, erased: &str) {
    let ends = |text: &str| -> Vec<(usize, char)> {
        let ends = text.char_indices().filter(|(_, char)| is_line_end(*char));
        ends.collect()
    };
    assert_eq!(text.len(), erased.len(), "{text:?}");
    assert_eq!(ends(text), ends(erased), "{text:?}");
    let utf16 = |text: &str| text.encode_utf16().count();
    assert_eq!(utf16(text), utf16(erased), "{text:?} {erased:?}");
    let allocator = Allocator::new();
    let parsed = Parser::new(&allocator, erased, SourceType::mjs()).parse();
    let wrong = parsed.diagnostics.errors().next();
    assert!(wrong.is_none(), "{text:?} {erased:?}: {wrong:?}");
}

#[test]
fn types_go_and_all_else_stays_where_it_was() {
    for (text, expected) in ERASED {
        let erased = erase(text).unwrap();
        assert_eq!(marked(text, &erased), *expected, "{text}");
        assert_erased(text, &erased);
        // It has no types any more, and nothing else that would be changed.
        assert_eq!(erase(&erased).as_ref(), Ok(&erased), "{text}");
    }
}

#[test]
fn what_is_code_is_refused_where_it_stands() {
    for (text, place, words) in REFUSED {
        let refused = erase(text).unwrap_err();
        assert_eq!((refused.line, refused.column), *place, "{text}: {refused}");
        assert!(refused.what.contains(words), "{text}: {refused}");
    }
}
