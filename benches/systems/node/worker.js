"use strict";
const functions = require("./functions.js");
module.exports = ({ method, params }) => functions[method](params);
