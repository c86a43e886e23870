// A small neural network that learns to tell two spirals apart: two inputs, a hidden layer of tanh, one output.

const POINTS = 200;
const TURNS = 1.25;

// Numbers from 0 to 1, the same for the same seed (mulberry32, which is in the public domain).
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Points of two spirals, half of them of each, with some noise.
function spirals(next) {
  return Array.from({ length: POINTS }, (_, i) => {
    const label = i % 2;
    const radius = 0.1 + (0.9 * i) / POINTS;
    const angle = radius * TURNS * 2 * Math.PI + label * Math.PI;
    const noise = () => (next() - 0.5) * 0.1;
    return { x: radius * Math.cos(angle) + noise(), y: radius * Math.sin(angle) + noise(), label };
  });
}

function network(hidden, next) {
  const weights = (scale) => Float64Array.from({ length: hidden }, () => (next() * 2 - 1) * scale);
  return { a: weights(4), b: weights(4), c: weights(2), d: weights(1), bias: 0, out: new Float64Array(hidden) };
}

// The probability of label 1. What the hidden layer says stays in `net.out`.
function guess(net, { x, y }) {
  let sum = net.bias;
  for (let j = 0; j < net.out.length; j++) {
    net.out[j] = Math.tanh(net.a[j] * x + net.b[j] * y + net.c[j]);
    sum += net.d[j] * net.out[j];
  }
  return 1 / (1 + Math.exp(-sum));
}

// A step down the gradient of the logistic loss of one point.
function learn(net, point, rate) {
  const error = rate * (guess(net, point) - point.label);
  for (let j = 0; j < net.out.length; j++) {
    const back = error * net.d[j] * (1 - net.out[j] ** 2);
    net.d[j] -= error * net.out[j];
    net.a[j] -= back * point.x;
    net.b[j] -= back * point.y;
    net.c[j] -= back;
  }
  net.bias -= error;
}

// {rate, hidden} -> the share of points that it has not learned from and gets right. Equal arguments give equal results.
madrpc.register("train", ({ rate, hidden, epochs = 100, seed = 1 }) => {
  const next = random(seed);
  const lessons = spirals(next);
  const exam = spirals(next);
  const net = network(hidden, next);
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (let i = 0; i < POINTS; i++) learn(net, lessons[Math.floor(next() * POINTS)], rate);
  }
  const right = exam.filter((point) => guess(net, point) > 0.5 === (point.label === 1));
  return right.length / POINTS;
}, { idempotent: true });
