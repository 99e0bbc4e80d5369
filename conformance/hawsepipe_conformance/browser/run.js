// Reads cases as lines of JSON ({"evidence": base64, "trust": base64, "asked": {…}}) and prints what each came to:
// the outcome, and number, result and code of each step.
"use strict";

require("./verify.js");

const lines = require("node:readline").createInterface({ input: process.stdin });

(async () => {
  for await (const line of lines) {
    const { evidence, trust, asked } = JSON.parse(line);
    const bytes = [evidence, trust].map((text) => new Uint8Array(Buffer.from(text, "base64")));
    const found = await hawsepipe.verify(bytes[0], bytes[1], asked);
    const steps = found.steps.map((step) => [step.number, step.result, step.code]);
    process.stdout.write(`${JSON.stringify([found.proven, found.code, steps])}\n`);
  }
})();
