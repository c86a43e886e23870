export const order = ["first"];
