// What assembly.wasm is made of, see `build`.

export function sieve(n: i32): i32 {
  const isComposite = new Uint8Array(n + 1);
  let count = 0;
  for (let i = 2; i <= n; i++) {
    if (isComposite[i]) continue;
    count++;
    for (let j = <i64>i * i; j <= n; j += i) isComposite[<i32>j] = 1;
  }
  return count;
}

export function mandelbrot(width: i32, limit: i32): i64 {
  let sum: i64 = 0;
  for (let y = 0; y < width; y++) {
    for (let x = 0; x < width; x++) {
      const a = <f64>x / width * 3 - 2, b = <f64>y / width * 2 - 1;
      let u = 0.0, v = 0.0, n = 0;
      while (n < limit && u * u + v * v < 4) {
        const next = u * u - v * v + a;
        v = 2 * u * v + b;
        u = next;
        n++;
      }
      sum += n;
    }
  }
  return sum;
}

export function mean(n: i32): f32 {
  const list: f32[] = [];
  for (let i = 0; i < n; i++) list.push(<f32>Math.sin(i) * <f32>0.1);
  let sum: f32 = 0;
  for (let i = 0; i < n; i++) sum += list[i];
  return sum / <f32>n;
}

export let calls: i32 = 41;
export function count(): i32 { return ++calls; }
