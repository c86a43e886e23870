// The Mandelbrot set in tiles: the fleet computes many at a time, and who reads the stream gets each as soon as it is ready.

const TILE = 64; // pixels each way
const UNDER_WAY = 32; // tiles at a time

// {x, y, span} is the middle of the picture and its width, on the plane of complex numbers.
const VIEW = { width: 480, height: 320, x: -0.748, y: 0.1, span: 0.0035, steps: 1000 };

// Yields {left, top, width, height, pixels}: a tile's place, and its rows of red, green and blue.
async function* mandelbrot(given) {
  const picture = { ...VIEW, ...given };
  const underWay = new Map();
  const next = async () => {
    const tile = await Promise.race(underWay.values());
    underWay.delete(place(tile));
    return tile;
  };
  for (const tile of tiles(picture)) {
    if (underWay.size === UNDER_WAY) yield next();
    underWay.set(place(tile), madrpc.call("mandelbrotTile", { picture, tile }));
  }
  while (underWay.size > 0) yield next();
}

const place = ({ left, top }) => `${left},${top}`;

function* tiles({ width, height }) {
  for (let top = 0; top < height; top += TILE) {
    for (let left = 0; left < width; left += TILE) {
      yield { left, top, width: Math.min(TILE, width - left), height: Math.min(TILE, height - top) };
    }
  }
}

function mandelbrotTile({ picture, tile }) {
  const scale = picture.span / picture.width;
  const real = (column) => picture.x + (tile.left + column - picture.width / 2) * scale;
  const imaginary = (row) => picture.y - (tile.top + row - picture.height / 2) * scale;
  const pixels = new Uint8Array(3 * tile.width * tile.height);
  for (let row = 0; row < tile.height; row++) {
    for (let column = 0; column < tile.width; column++) {
      const at = 3 * (row * tile.width + column);
      // The mean of four points of each pixel: edges are smooth.
      for (let point = 0; point < 4; point++) {
        const x = real(column + (point & 1) / 2);
        const y = imaginary(row + (point >> 1) / 2);
        const [red, green, blue] = colour(escape(x, y, picture.steps));
        pixels[at] += red / 4;
        pixels[at + 1] += green / 4;
        pixels[at + 2] += blue / 4;
      }
    }
  }
  return { ...tile, pixels };
}

// After how many steps z = z² + c has left the circle around the set, with a fraction, so that colours have no edges; or Infinity.
function escape(real, imaginary, steps) {
  let x = 0;
  let y = 0;
  for (let step = 0; step < steps; step++) {
    const xx = x * x;
    const yy = y * y;
    if (xx + yy > 256) return step + 1 - Math.log2(Math.log2(xx + yy) / 2);
    y = 2 * x * y + imaginary;
    x = xx - yy + real;
  }
  return Infinity;
}

// Black inside; outside from blue over white to gold and back, ever slower.
function colour(steps) {
  if (steps === Infinity) return [0, 0, 0];
  const angle = 1.9 * Math.log2(steps + 1) - 1;
  return [0.6, 0.2, -0.6].map((shift) => 128 - 127 * Math.cos(angle - shift));
}

// What the tiles use of a core, all of them together, counts for their picture too.
madrpc.register("mandelbrot", mandelbrot, { cpuMs: 600_000 });
madrpc.register("mandelbrotTile", mandelbrotTile, { idempotent: true });
