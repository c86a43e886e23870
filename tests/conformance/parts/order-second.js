import { order } from "./order-first.js";
order.push("second");
