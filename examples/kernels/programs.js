// Eight programs that do nothing but compute, as JavaScript has them: no line of them is for kernels alone.

// Xorshift128: points of a square, and how many of them lie in the circle in it.
export function pi(samples, seed) {
  let x = seed | 1, y = 362436069, z = 521288629, w = 88675123;
  let inside = 0;
  for (let i = 0; i < samples; i++) {
    let t = x ^ (x << 11);
    const u = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    t = y ^ (y << 11);
    const v = u ^ (u >>> 19) ^ t ^ (t >>> 8);
    if (u * u + v * v < 2 ** 62) inside++;
    x = z;
    y = w;
    z = u;
    w = v;
  }
  return inside;
}

// Two square matrices of n rows, and their product.
export function matmul(a, b, product, n) {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
      product[i * n + j] = sum;
    }
  }
}

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

// After how many steps each point of the plane from -2 - i to 1 + i is beyond 2, at most `limit`.
export function mandelbrot(steps, width, height, limit) {
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const re = column / width * 3 - 2, im = row / height * 2 - 1;
      let x = 0, y = 0, n = 0;
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

// Bodies that draw each other: three coordinates of place and speed for each, and its mass.
export function nbody(places, speeds, masses, steps, dt) {
  const n = masses.length;
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
    for (let i = 0; i < n * 3; i++) places[i] += dt * speeds[i];
  }
}

// The blocks of 64 bytes of a message, mixed into the state of a SHA-256 (FIPS 180-4, 6.2); `w` is 64 words of room.
export function sha256(message, constants, w, state) {
  for (let block = 0; block < message.length; block += 64) {
    for (let i = 0; i < 16; i++) {
      const at = block + i * 4;
      w[i] = message[at] << 24 | message[at + 1] << 16 | message[at + 2] << 8 | message[at + 3];
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      const s0 = (x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ (x >>> 3);
      const s1 = (y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ (y >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1 | 0;
    }
    let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    for (let i = 0; i < 64; i++) {
      const s1 = (e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7);
      const t1 = h + s1 + ((e & f) ^ (~e & g)) + constants[i] + w[i] | 0;
      const s0 = (a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10);
      const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c)) | 0;
      h = g;
      g = f;
      f = e;
      e = d + t1 | 0;
      d = c;
      c = b;
      b = a;
      a = t1 + t2 | 0;
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

// How many letters are to be changed to get from one text to the other; `row` is room for a number more than the second has.
export function levenshtein(a, b, row) {
  for (let j = 0; j <= b.length; j++) row[j] = j;
  for (let i = 1; i <= a.length; i++) {
    let diagonal = row[0];
    row[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const above = row[j];
      row[j] = a[i - 1] === b[j - 1] ? diagonal : Math.min(diagonal, above, row[j - 1]) + 1;
      diagonal = above;
    }
  }
  return row[b.length];
}

export function histogram(bytes, counts) {
  for (let i = 0; i < bytes.length; i++) counts[bytes[i]]++;
}
