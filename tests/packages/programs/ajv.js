import Ajv from "ajv";
import Ajv2020 from "ajv/dist/2020.js";

const schema = {
  type: "object",
  properties: {
    id: { type: "integer", minimum: 1 }, name: { type: "string", minLength: 2, pattern: "^\\p{L}+$" }, tags: { type: "array", items: { type: "string" }, uniqueItems: true },
    kind: { enum: ["a", "b"] }, nested: { $ref: "#/$defs/nested" }, price: { type: "number", multipleOf: 0.01, default: 1.5 },
  },
  required: ["id", "name"],
  additionalProperties: false,
  $defs: { nested: { anyOf: [{ type: "null" }, { type: "object", properties: { child: { $ref: "#/$defs/nested" } } }] } },
};
const data = () => [{ id: 1, name: "Ann" }, { id: 0, name: "A1", x: 1 }, { id: 1.5, tags: ["a", "a"], kind: "c" }, { id: 1, name: "漢字", nested: { child: { child: 5 } } }, null];
const check = (validate) => data().map((value) => [validate(value), (validate.errors ?? []).map(({ instancePath, keyword, message, params }) => ({ instancePath, keyword, message, params })), value]);

export default {
  compiled: () => check(new Ajv({ allErrors: true, useDefaults: true, strict: false }).compile(schema)),
  first: () => check(new Ajv({ strict: false }).compile(schema)),
  coerced: () => {
    const value = { n: "5", b: "true", l: 1 };
    const ajv = new Ajv({ coerceTypes: "array", removeAdditional: true });
    return [ajv.validate({ type: "object", properties: { n: { type: "number" }, b: { type: "boolean" }, l: { type: "array" } } }, value), value, ajv.errorsText()];
  },
  refused: () => [() => new Ajv().compile({ type: "nonsense" }), () => new Ajv().compile({ $ref: "#/none" }), () => new Ajv().compile({ unknown: 1 })].map((attempt) => { try { attempt(); return null; } catch (error) { return [error.name, error.message]; } }),
  newer: () => { const validate = new Ajv2020().compile({ type: "array", prefixItems: [{ type: "number" }], items: false, minItems: 1 }); return [[1], [1, 2], ["x"]].map((value) => validate(value)); },
  keywords: () => {
    const ajv = new Ajv();
    ajv.addKeyword({ keyword: "even", validate: (is, n) => !is || n % 2 === 0, errors: false });
    ajv.addFormat("three", /^...$/);
    ajv.addSchema({ $id: "s", type: "string", format: "three" });
    return [ajv.validate({ even: true }, 3), ajv.validate({ even: true }, 4), ajv.validate({ $ref: "s" }, "abc"), ajv.validate("s", "ab"), ajv.errorsText()];
  },
  later: async () => { try { return await new Ajv().compile({ $async: true, type: "number" })("x"); } catch (error) { return [error.constructor.name, error.message, error.errors.length]; } },
};
