// What programs.wasm is made of, see `build`: programs.js in AssemblyScript. An array is the address of its first number in the
// module's memory; a program that needs the lengths of arrays has them after all else.

@unmanaged
class Numbers<T> {
  @inline @operator("[]") get(i: i32): T {
    return load<T>(changetype<usize>(this) + (<usize>i << alignof<T>()));
  }

  @inline @operator("[]=") set(i: i32, value: T): void {
    store<T>(changetype<usize>(this) + (<usize>i << alignof<T>()), value);
  }
}

export function pi(samples: i32, seed: i32): i32 {
  let x = seed | 1, y = 362436069, z = 521288629, w = 88675123;
  let inside = 0;
  for (let i = 0; i < samples; i++) {
    let t = x ^ (x << 11);
    const u = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    t = y ^ (y << 11);
    const v = u ^ (u >>> 19) ^ t ^ (t >>> 8);
    const a = <f64>u, b = <f64>v;
    if (a * a + b * b < <f64>(<i64>1 << 62)) inside++;
    x = z;
    y = w;
    z = u;
    w = v;
  }
  return inside;
}

export function matmul(a: Numbers<f64>, b: Numbers<f64>, product: Numbers<f64>, n: i32): void {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum: f64 = 0;
      for (let k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
      product[i * n + j] = sum;
    }
  }
}

export function dot(a: Numbers<f64>, b: Numbers<f64>, length: i32): f64 {
  let sum: f64 = 0;
  for (let i = 0; i < length; i++) sum += a[i] * b[i];
  return sum;
}

export function mandelbrot(steps: Numbers<i32>, width: i32, height: i32, limit: i32): void {
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const re = <f64>column / width * 3 - 2, im = <f64>row / height * 2 - 1;
      let x: f64 = 0, y: f64 = 0, n = 0;
      while (n < limit && x * x + y * y <= 4) {
        const next = x * x - y * y + re;
        y = 2 * x * y + im;
        x = next;
        n++;
      }
      steps[row * width + column] = n;
    }
  }
}

export function nbody(places: Numbers<f64>, speeds: Numbers<f64>, masses: Numbers<f64>, steps: i32, dt: f64, coordinates: i32): void {
  const n = coordinates / 3;
  for (let step = 0; step < steps; step++) {
    for (let i = 0; i < n; i++) {
      const x = places[i * 3], y = places[i * 3 + 1], z = places[i * 3 + 2], mass = masses[i];
      for (let j = i + 1; j < n; j++) {
        const dx = x - places[j * 3], dy = y - places[j * 3 + 1], dz = z - places[j * 3 + 2];
        const squared = dx * dx + dy * dy + dz * dz;
        const pull = dt / (squared * Math.sqrt(squared));
        const his = masses[j] * pull, own = mass * pull;
        speeds[i * 3] -= dx * his;
        speeds[i * 3 + 1] -= dy * his;
        speeds[i * 3 + 2] -= dz * his;
        speeds[j * 3] += dx * own;
        speeds[j * 3 + 1] += dy * own;
        speeds[j * 3 + 2] += dz * own;
      }
    }
    for (let i = 0; i < coordinates; i++) places[i] += dt * speeds[i];
  }
}

export function sha256(message: Numbers<u8>, constants: Numbers<i32>, w: Numbers<i32>, state: Numbers<i32>, length: i32): void {
  for (let block = 0; block < length; block += 64) {
    for (let i = 0; i < 16; i++) {
      const at = block + i * 4;
      w[i] = <i32>message[at] << 24 | <i32>message[at + 1] << 16 | <i32>message[at + 2] << 8 | <i32>message[at + 3];
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      const s0 = rotr(x, 7) ^ rotr(x, 18) ^ (x >>> 3);
      const s1 = rotr(y, 17) ^ rotr(y, 19) ^ (y >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    for (let i = 0; i < 64; i++) {
      const s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
      const t1 = h + s1 + ((e & f) ^ (~e & g)) + constants[i] + w[i];
      const s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
      const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + t1;
      d = c;
      c = b;
      b = a;
      a = t1 + t2;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
  }
}

export function levenshtein(a: Numbers<u8>, b: Numbers<u8>, row: Numbers<i32>, lengthA: i32, lengthB: i32): i32 {
  for (let j = 0; j <= lengthB; j++) row[j] = j;
  for (let i = 1; i <= lengthA; i++) {
    let diagonal = row[0];
    row[0] = i;
    for (let j = 1; j <= lengthB; j++) {
      const above = row[j];
      row[j] = a[i - 1] === b[j - 1] ? diagonal : min(min(diagonal, above), row[j - 1]) + 1;
      diagonal = above;
    }
  }
  return row[lengthB];
}

export function histogram(bytes: Numbers<u8>, counts: Numbers<u32>, length: i32): void {
  for (let i = 0; i < length; i++) counts[bytes[i]]++;
}
