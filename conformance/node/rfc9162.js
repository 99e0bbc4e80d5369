// Reads proofs as lines of JSON ({leaf, index, size, path, root}, hex) and prints for each whether
// @transmute/rfc9162, which is no code of ours, takes it.
"use strict";

const RFC9162 = require(process.argv[2]).default;

const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));
const lines = require("node:readline").createInterface({ input: process.stdin });

(async () => {
  for await (const line of lines) {
    const { leaf, index, size, path, root } = JSON.parse(line);
    let good = false;
    try {
      const proof = { log_id: "", tree_size: size, leaf_index: index, inclusion_path: path.map(bytes) };
      good = (await RFC9162.verifyInclusionProof(bytes(root), bytes(leaf), proof)) === true;
    } catch {
      good = false;
    }
    process.stdout.write(`${good}\n`);
  }
})();
