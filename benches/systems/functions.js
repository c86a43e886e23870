// What every system runs.
function echo(value) {
  return value;
}

// The minimal standard generator, `rounds` times: nothing but arithmetic.
function compute(rounds) {
  let x = 1;
  for (let i = 0; i < rounds; i++) x = (x * 48271) % 2147483647;
  return x;
}
