// The words of a text, from so many letters on: {word: count}.
madrpc.register("words", ({ text, letters = 5 }) => {
  const counts = new Map();
  for (const [word] of text.toLowerCase().matchAll(/\p{L}+/gu)) {
    if (word.length >= letters) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return Object.fromEntries(counts);
}, { idempotent: true });
