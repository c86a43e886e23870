"use strict";
// JSON-RPC over HTTP: `node server.js http` runs the functions in the event loop, `piscina` in worker threads.
const http = require("node:http");
const path = require("node:path");

function runner(mode) {
  if (mode === "http") {
    const functions = require("./functions.js");
    return (method, params) => functions[method](params);
  }
  const { Piscina } = require("piscina");
  const pool = new Piscina({ filename: path.join(__dirname, "worker.js") });
  return (method, params) => pool.run({ method, params });
}

const run = runner(process.argv[2]);

function reply(response, body) {
  const text = JSON.stringify(body);
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

async function answer(text, response) {
  const { id, method, params } = JSON.parse(text);
  try {
    let result = run(method, params);
    if (result instanceof Promise) result = await result;
    reply(response, { jsonrpc: "2.0", id, result });
  } catch (error) {
    reply(response, { jsonrpc: "2.0", id, error: { code: -32000, message: String(error) } });
  }
}

const server = http.createServer((request, response) => {
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (part) => (text += part));
  request.on("end", () => answer(text, response));
});
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", 4096, () => console.log(`ready 127.0.0.1:${server.address().port}`));
process.stdin.resume().on("end", () => process.exit(0));
