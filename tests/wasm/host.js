// What rust.wasm imports.
export const seen = [];
export const progress = (done, all) => {
  seen.push([done, String(all)]);
  return done / 2;
};
