import { order } from "./order-first.js";
import "./order-second.js";
import "./order-first.js";
order.push("third");
export { order };
