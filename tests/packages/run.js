// Runs programs one after the other: JSON of what each gives, by its name.
const shown = (key, value) => (typeof value === "bigint" ? `${value}n` : value === undefined ? "undefined" : value);

export const run = async (programs) => {
  const results = {};
  for (const [name, program] of Object.entries(programs)) {
    try {
      results[name] = await program();
    } catch (error) {
      results[name] = `threw ${error?.name}: ${error?.message}`;
    }
  }
  return JSON.stringify(results, shown);
};
