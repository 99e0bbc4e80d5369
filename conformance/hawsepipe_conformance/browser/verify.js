// Verifies evidence of one version, or that a resource never was, in a browser (or in Node), offline: a second implementation, written from the
// formats (schemas/hawsepipe_schemas/evidence.schema.json, trust.schema.json) and independent of the Python one.
//
//   const asked = { type, id, version, patient, quorum, since, seen, latest };  // whatever matters; seen: "size:root"
//   const found = await hawsepipe.verify(evidenceBytes, trustBytes, asked);
//   found.proven, found.code, found.steps[n] = { number, name, result: "ok" | "failed" | "skipped", code, text }
//
// It needs WebCrypto with SHA-256 and Ed25519, and nothing else. It never throws: what is wrong is a failed step.
"use strict";

globalThis.hawsepipe = (() => {
  const LARGEST = 64 * 1024 * 1024;
  const DEEPEST = 200;
  const HASH = /^[0-9a-f]{64}$/;
  const NATURAL = /^(?:0|[1-9][0-9]{0,17})$/;
  const VERSION = "hawsepipe/evidence/v1";
  const ABSENCE = "hawsepipe/absence/v1";
  const REQUIRED = { [VERSION]: [1, 2, 3, 4, 5, 6, 7, 8, 12], [ABSENCE]: [1, 3, 6, 7, 8, 11] };
  const OF_A_VERSION = ["content", "commitment", "inclusion", "dependencies"];
  const LEAF = "commitment leafIndex inclusionProof opening salt content";
  const OF_BOTH = "format type id rootHash checkpoint receipts consistency state";
  const KNOWN = { [VERSION]: words(`${OF_BOTH} ${LEAF} version dependencies`), [ABSENCE]: words(OF_BOTH) };
  const RECEIPT = words("backend channel size root position proof");
  const OPENING = words(
    "kind channel type id version operation patients recorded versionHash staticHash previous provenance targets source rules map size",
  );
  const TRUST = words("format channel log backends witnesses groups quorum");
  const encoder = new TextEncoder();

  class Finding extends Error {
    constructor(code, reason) {
      super(reason);
      this.code = code;
    }
  }

  class Numeral {
    constructor(lexeme) {
      this.lexeme = lexeme;
    }
  }

  function words(text) {
    return new Set(text.split(" "));
  }

  // -- JSON, strictly: numbers as they are written, no key twice, no lone surrogate ------------------------------------

  class Reader {
    constructor(text) {
      this.text = text;
      this.at = 0;
      this.depth = 0;
    }

    fail() {
      throw new SyntaxError("not JSON");
    }

    space() {
      while (this.at < this.text.length && " \t\n\r".includes(this.text[this.at])) this.at += 1;
    }

    whole() {
      this.space();
      const value = this.value();
      this.space();
      if (this.at !== this.text.length) this.fail();
      return value;
    }

    value() {
      const char = this.text[this.at];
      if (char === "{") return this.object();
      if (char === "[") return this.list();
      if (char === '"') return this.string();
      for (const [word, value] of [["true", true], ["false", false], ["null", null]]) {
        if (this.text.startsWith(word, this.at)) {
          this.at += word.length;
          return value;
        }
      }
      const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
      number.lastIndex = this.at;
      const found = number.exec(this.text);
      if (found === null) this.fail();
      this.at += found[0].length;
      return new Numeral(found[0]);
    }

    // Calls `item` for each item until the closing bracket.
    items(closing, item) {
      this.at += 1;
      this.depth += 1;
      if (this.depth > DEEPEST) this.fail();
      this.space();
      if (this.text[this.at] === closing) {
        this.at += 1;
      } else {
        for (;;) {
          this.space();
          item();
          this.space();
          const char = this.text[this.at];
          this.at += 1;
          if (char === closing) break;
          if (char !== ",") this.fail();
        }
      }
      this.depth -= 1;
    }

    object() {
      const pairs = [];
      this.items("}", () => {
        if (this.text[this.at] !== '"') this.fail();
        const key = this.string();
        this.space();
        if (this.text[this.at] !== ":") this.fail();
        this.at += 1;
        this.space();
        pairs.push([key, this.value()]);
      });
      const found = new Map(pairs);
      if (found.size !== pairs.length) throw new Finding("DUPLICATE_KEY", "an object has a key twice");
      return found;
    }

    list() {
      const found = [];
      this.items("]", () => found.push(this.value()));
      return found;
    }

    string() {
      const escapes = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
      let text = "";
      for (this.at += 1; ; ) {
        const from = this.at;
        while (this.at < this.text.length && this.text[this.at] !== '"' && this.text[this.at] !== "\\") {
          if (this.text[this.at] < " ") this.fail();
          this.at += 1;
        }
        text += this.text.slice(from, this.at);
        if (this.at >= this.text.length) this.fail();
        const mark = this.text[this.at];
        this.at += 1;
        if (mark === '"') return text;
        const escape = this.text[this.at];
        this.at += 1;
        if (escape === "u") {
          const digits = this.text.slice(this.at, this.at + 4);
          if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail();
          text += String.fromCharCode(Number.parseInt(digits, 16));
          this.at += 4;
        } else if (escape !== undefined && Object.hasOwn(escapes, escape)) {
          text += escapes[escape];
        } else {
          this.fail();
        }
      }
    }
  }

  function parse(raw, what, code = "MALFORMED") {
    try {
      if (raw.length > LARGEST) throw new SyntaxError("too large");
      // The byte order mark is kept, and is not JSON.
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw);
      const tree = new Reader(text).whole();
      canonical(tree);
      return tree;
    } catch (error) {
      if (error instanceof Finding) throw error;
      throw new Finding(code, `${what} is not JSON in UTF-8, or too large`);
    }
  }

  function canonical(tree) {
    return encoder.encode(form(tree));
  }

  function form(tree) {
    if (tree instanceof Map) {
      const keys = [...tree.keys()].sort(byCodePoint);
      return `{${keys.map((key) => `${form(key)}:${form(tree.get(key))}`).join(",")}}`;
    }
    if (Array.isArray(tree)) return `[${tree.map(form).join(",")}]`;
    if (tree instanceof Numeral) return tree.lexeme;
    if (typeof tree === "string" && loneSurrogate(tree)) throw new SyntaxError("a lone surrogate");
    return JSON.stringify(tree);
  }

  function loneSurrogate(text) {
    return /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
  }

  // JavaScript compares UTF-16 units, in which what is beyond U+FFFF comes before U+E000.
  function byCodePoint(a, b) {
    const left = [...a];
    const right = [...b];
    for (let place = 0; place < Math.min(left.length, right.length); place += 1) {
      const difference = left[place].codePointAt(0) - right[place].codePointAt(0);
      if (difference !== 0) return difference;
    }
    return left.length - right.length;
  }

  // -- values --------------------------------------------------------------------------------------------------------

  function object(value, known, what) {
    if (!(value instanceof Map) || [...value.keys()].some((key) => !known.has(key))) {
      throw new Finding("MALFORMED", `${what} is not an object, or has a key that is not known here`);
    }
    return value;
  }

  // An object with whatever keys; one that is not there is empty.
  function anyObject(holder, key) {
    const value = holder.has(key) ? holder.get(key) : new Map();
    if (!(value instanceof Map)) throw new Finding("MALFORMED", `${key} is not an object`);
    return value;
  }

  function text(holder, key) {
    const value = holder.get(key);
    if (typeof value !== "string") throw new Finding("MALFORMED", `${key} is not a string`);
    return value;
  }

  function natural(holder, key) {
    const value = holder.get(key);
    if (!(value instanceof Numeral) || !NATURAL.test(value.lexeme)) {
      throw new Finding("MALFORMED", `${key} is not a whole number`);
    }
    return BigInt(value.lexeme);
  }

  function hash(holder, key) {
    const value = text(holder, key);
    if (!HASH.test(value)) throw new Finding("MALFORMED", `${key} is not 32 bytes in hex`);
    return unhex(value);
  }

  function items(holder, key) {
    const value = holder.get(key);
    if (!Array.isArray(value)) throw new Finding("MALFORMED", `${key} is not a list`);
    return value;
  }

  function texts(holder, key) {
    const found = items(holder, key);
    if (!found.every((item) => typeof item === "string")) {
      throw new Finding("MALFORMED", `${key} is not a list of strings`);
    }
    return found;
  }

  // Neither missing nor null.
  function has(holder, key) {
    return holder.has(key) && holder.get(key) !== null;
  }

  function unhex(value) {
    return Uint8Array.from(value.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  }

  function hex(bytes) {
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function unbase64(value, code) {
    try {
      const decoded = atob(value);
      if (btoa(decoded) !== value) throw new SyntaxError("another form");
      return Uint8Array.from(decoded, (char) => char.charCodeAt(0));
    } catch {
      throw new Finding(code, "a field is not base64 in the one form that its bytes have");
    }
  }

  function joined(...parts) {
    const found = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let at = 0;
    for (const part of parts) {
      found.set(part, at);
      at += part.length;
    }
    return found;
  }

  async function sha256(...parts) {
    return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
  }

  function same(a, b) {
    return a.length === b.length && a.every((byte, place) => byte === b[place]);
  }

  // -- keys, notes, signatures (https://c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature) -------------------------

  async function vkey(value, algorithm) {
    const [, name, id, material] = /^([^+]*)\+([^+]*)\+(.*)$/s.exec(value) ?? [null, "", "", ""];
    const raw = unbase64(material, "TRUST_INVALID");
    const computed = (await sha256(encoder.encode(`${name}\n`), raw)).slice(0, 4);
    if (name === "" || raw.length !== 33 || raw[0] !== algorithm || hex(computed) !== id) {
      throw new Finding("TRUST_INVALID", "a key of the trust document is malformed");
    }
    return { name, id, public: raw.slice(1), first: 0n, last: null };
  }

  function note(value) {
    const gap = value.lastIndexOf("\n\n");
    const head = gap < 0 ? "" : value.slice(0, gap);
    const tail = gap < 0 ? value : value.slice(gap + 2);
    const lines = head.split("\n");
    // eslint-disable-next-line no-control-regex
    const framed = gap >= 0 && tail.endsWith("\n") && !/[\x00-\x09\x0b-\x1f]/.test(value);
    if (!framed || lines.length < 3 || lines[0] === "" || !NATURAL.test(lines[1])) {
      throw new Finding("CHECKPOINT_INVALID", "the checkpoint is not a signed note");
    }
    const root = unbase64(lines[2], "CHECKPOINT_INVALID");
    const signatures = tail.slice(0, -1).split("\n").map((line) => signature(line, "CHECKPOINT_INVALID"));
    return { text: encoder.encode(`${head}\n`), origin: lines[0], size: BigInt(lines[1]), root, signatures };
  }

  function signature(line, code) {
    const parts = line.split(" ");
    if (parts.length !== 3 || parts[0] !== "—" || parts[1] === "") {
      throw new Finding(code, "a signature line is malformed");
    }
    const raw = unbase64(parts[2], code);
    return { name: parts[1], id: hex(raw.slice(0, 4)), bytes: raw.slice(4) };
  }

  async function checkSignature(key, bytes, message, code) {
    let fits = false;
    try {
      const imported = await crypto.subtle.importKey("raw", key.public, { name: "Ed25519" }, false, ["verify"]);
      fits = await crypto.subtle.verify({ name: "Ed25519" }, imported, bytes, message);
    } catch {
      fits = false;
    }
    if (!fits) throw new Finding(code, "a signature does not fit what it signs");
  }

  async function trusted(raw) {
    try {
      const document = object(parse(raw, "the trust document"), TRUST, "the trust document");
      if (document.get("format") !== "hawsepipe/trust/v1") {
        throw new Finding("TRUST_INVALID", "the format is not hawsepipe/trust/v1");
      }
      const log = [];
      for (const item of items(document, "log")) {
        const entry = object(item, words("vkey fromSize toSize rotation"), "a log key");
        const last = has(entry, "toSize") ? natural(entry, "toSize") : null;
        log.push({ ...(await vkey(text(entry, "vkey"), 1)), first: natural(entry, "fromSize"), last });
      }
      const named = document.get("backends");
      if (!(named instanceof Map) || ![...named.values()].every((entry) => entry instanceof Map)) {
        throw new Finding("TRUST_INVALID", "there are no backends");
      }
      const parties = new Map();
      for (const [name, entry] of named) {
        if (entry.get("type") === "cosignature/v1") parties.set(name, await vkey(text(entry, "vkey"), 4));
      }
      const witnesses = anyObject(document, "witnesses");
      for (const name of witnesses.keys()) {
        if (named.has(name)) throw new Finding("TRUST_INVALID", "a witness is named as a ledger");
        parties.set(name, await vkey(text(witnesses, name), 4));
      }
      const names = new Set([...named.keys(), ...witnesses.keys()]);
      const groups = new Map();
      for (const [name, value] of anyObject(document, "groups")) {
        const entry = object(value, words("threshold members"), "a group");
        const threshold = natural(entry, "threshold");
        const members = texts(entry, "members");
        if (names.has(name) || threshold === 0n || !members.every((member) => names.has(member))) {
          throw new Finding("TRUST_INVALID", "a group has no threshold, or members that do not stand before it");
        }
        names.add(name);
        groups.set(name, { threshold, members });
      }
      const told = document.get("quorum");
      const group = typeof told === "string" && groups.has(told);
      const quorum = group ? told : document.has("quorum") ? natural(document, "quorum") : 1n;
      return { channel: text(document, "channel"), log, parties, groups, quorum };
    } catch (error) {
      if (error instanceof Finding) throw new Finding("TRUST_INVALID", error.message);
      throw error;
    }
  }

  // -- what a leaf opens to --------------------------------------------------------------------------------------------

  function opened(value, kinds = ["resource", "consent", "provenance"]) {
    const opening = object(parse(encoder.encode(value), "the opening"), OPENING, "the opening");
    if (form(opening) !== value || !kinds.includes(opening.get("kind"))) {
      throw new Finding("MALFORMED", "the opening is not in canonical form or of a kind that is not known here");
    }
    return opening;
  }

  function contentOf(holder) {
    const value = holder.get("content");
    const tree =
      typeof value === "string" ? parse(encoder.encode(value), "the content", "CONTENT_MISMATCH") : null;
    if (!(tree instanceof Map)) {
      throw new Finding("CONTENT_MISMATCH", "there is no content, or it is not an object");
    }
    return tree;
  }

  async function checkContent(holder, opening) {
    if (opening.get("operation") === "delete") {
      if (holder.has("content") || opening.has("versionHash")) {
        throw new Finding("CONTENT_MISMATCH", "a delete has no content");
      }
      return;
    }
    const tree = contentOf(holder);
    const still = new Map([...tree].filter(([key]) => key !== "meta" && key !== "text"));
    for (const [key, part] of [["versionHash", tree], ["staticHash", still]]) {
      if (!same(await sha256(canonical(part)), hash(opening, key))) {
        throw new Finding("CONTENT_MISMATCH", `the content is not what was committed to (${key})`);
      }
    }
  }

  function checkIdentity(holder, opening) {
    const type = text(opening, "type");
    const kinds = { Consent: ["consent"], Provenance: ["provenance", "resource"] };
    if (!(Object.hasOwn(kinds, type) ? kinds[type] : ["resource"]).includes(opening.get("kind"))) {
      throw new Finding("BINDING_MISMATCH", "the kind of the opening does not fit its type");
    }
    if (type === "Patient" && !texts(opening, "patients").includes(opening.get("id"))) {
      throw new Finding("BINDING_MISMATCH", "a Patient is not about itself");
    }
    if (!holder.has("content")) return;
    const tree = contentOf(holder);
    const meta = tree.get("meta");
    const told = meta instanceof Map ? meta.get("versionId") : null;
    const version = String(natural(opening, "version"));
    const silent =
      told === undefined || told === null || told === false || told === "" ||
      (Array.isArray(told) && told.length === 0) || (told instanceof Map && told.size === 0);
    const agrees =
      tree.get("resourceType") === type && tree.get("id") === opening.get("id") && (silent || told === version);
    if (!agrees) {
      throw new Finding("BINDING_MISMATCH", "the content is another resource or version than the opening says");
    }
  }

  async function checkCommitment(holder, opening) {
    const prefix = encoder.encode("hawsepipe/commit/v1\0");
    const computed = await sha256(prefix, hash(holder, "salt"), encoder.encode(opening));
    if (!same(computed, hash(holder, "commitment"))) {
      throw new Finding("LEAF_MISMATCH", "salt and opening do not open the commitment in the log");
    }
  }

  // The root that a path leads to in a tree of this size: RFC 9162 section 2.1.3.2.
  async function rootOf(holder, index, size) {
    const path = texts(holder, "inclusionProof");
    if (index >= size) throw new Finding("INCLUSION_INVALID", "the leaf is outside the tree that the checkpoint signs");
    let place = index;
    let last = size - 1n;
    let value = await sha256([0], hash(holder, "commitment"));
    for (const step of path) {
      if (!HASH.test(step) || last === 0n) {
        throw new Finding("INCLUSION_INVALID", "no tree of this size has such a path");
      }
      const sibling = unhex(step);
      if (place % 2n === 1n || place === last) {
        value = await sha256([1], sibling, value);
        while (place % 2n === 0n && place !== 0n) {
          place /= 2n;
          last /= 2n;
        }
      } else {
        value = await sha256([1], value, sibling);
      }
      place /= 2n;
      last /= 2n;
    }
    if (last !== 0n) throw new Finding("INCLUSION_INVALID", "no tree of this size has such a path");
    return value;
  }

  // Whether a tree of `size` leaves has grown to this checkpoint: RFC 9162 section 2.1.4.2.
  async function continues(size, root, checkpoint, path) {
    if (size === checkpoint.size) return same(root, checkpoint.root);
    if (size === 0n || path.length === 0) return false;
    const hashes = (size & (size - 1n)) === 0n ? [root, ...path] : path;
    let place = size - 1n;
    let last = checkpoint.size - 1n;
    while (place % 2n === 1n) {
      place /= 2n;
      last /= 2n;
    }
    let [before] = hashes;
    let after = before;
    for (const step of hashes.slice(1)) {
      if (last === 0n) return false;
      if (place % 2n === 1n || place === last) {
        before = await sha256([1], step, before);
        after = await sha256([1], step, after);
        while (place % 2n === 0n && place !== 0n) {
          place /= 2n;
          last /= 2n;
        }
      } else {
        after = await sha256([1], after, step);
      }
      place /= 2n;
      last /= 2n;
    }
    return last === 0n && same(before, root) && same(after, checkpoint.root);
  }

  // The root of the current-state map that the way to a place leads to.
  async function mapRoot(place, end, levels, siblings) {
    const some = [...levels].filter((level) => level === "1").length;
    if (!/^[01]{0,256}$/.test(levels) || siblings.length !== 32 * some) {
      throw new Finding("STATE_INVALID", "the way is malformed");
    }
    const bit = (bytes, at) => (bytes[at >> 3] >> (7 - (at & 7))) & 1;
    const beside = [];
    let given = 0;
    for (const level of levels) {
      beside.push(level === "1" ? siblings.slice(32 * given, 32 * given + 32) : new Uint8Array(32));
      if (level === "1") given += 1;
    }
    let value = new Uint8Array(32);
    if (end !== null) {
      const there = hash(end, "place");
      if (beside.some((_, at) => bit(there, at) !== bit(place, at))) {
        throw new Finding("STATE_INVALID", "what the way ends at is not on it");
      }
      value = await sha256([2], there, hash(end, "value"));
    }
    for (let at = levels.length - 1; at >= 0; at -= 1) {
      const [left, right] = bit(place, at) === 1 ? [beside[at], value] : [value, beside[at]];
      value = await sha256([3], left, right);
    }
    return value;
  }

  // The second at which a party's key signed this very checkpoint.
  async function cosignedAt(key, given, checkpoint) {
    if (given.name !== key.name || given.id !== key.id || given.bytes.length !== 72) {
      throw new Finding("RECEIPT_INVALID", "it is no cosignature by the party's key");
    }
    const seconds = BigInt(`0x${hex(given.bytes.slice(0, 8))}`);
    const message = joined(encoder.encode(`cosignature/v1\ntime ${seconds}\n`), checkpoint.text);
    await checkSignature(key, given.bytes.slice(8), message, "RECEIPT_INVALID");
    return seconds;
  }

  function cosignature(receipt, checkpoint) {
    const told =
      text(receipt, "channel") === checkpoint.origin && natural(receipt, "size") === checkpoint.size &&
      same(hash(receipt, "root"), checkpoint.root) && text(receipt, "position") === String(checkpoint.size);
    if (!told) throw new Finding("RECEIPT_INVALID", "the receipt is for another checkpoint");
    const proof = object(receipt.get("proof"), words("cosignature"), "a proof");
    return signature(text(proof, "cosignature"), "RECEIPT_INVALID");
  }

  // -- the steps -------------------------------------------------------------------------------------------------------

  class Case {
    constructor(evidence, trust, asked) {
      this.raw = evidence;
      this.rawTrust = trust;
      this.asked = asked;
      this.format = VERSION;
      this.signers = [];
      this.times = [];
    }

    get note() {
      return note(text(this.evidence, "checkpoint"));
    }

    steps() {
      return [
        ["parse", [], () => this.parse()],
        ["content", [1], () => this.content()],
        ["binding", [1], () => this.binding()],
        ["commitment", [1], () => this.commitment()],
        ["inclusion", [1], () => this.inclusion()],
        ["checkpoint", [1], () => this.checkpoint()],
        ["key", [1, 6], () => this.key()],
        ["receipts", [1], () => this.receipts()],
        ["freshness", [1, 8], () => this.freshness()],
        ["consistency", [1], () => this.consistency()],
        ["current", [1, 3], () => this.current()],
        ["dependencies", [1, 5], () => this.dependencies()],
        ["time", [1], () => null],
      ];
    }

    async parse() {
      this.trust = await trusted(this.rawTrust);
      const tree = parse(this.raw, "the evidence");
      if (tree instanceof Map && tree.get("format") === ABSENCE) this.format = ABSENCE;
      const evidence = object(tree, KNOWN[this.format], "the evidence");
      if (evidence.get("format") !== this.format) throw new Finding("MALFORMED", "the format is not known");
      this.evidence = evidence;
      if (this.format === ABSENCE) return "well formed";
      if (!has(evidence, "opening") || !has(evidence, "salt")) {
        throw new Finding("MISSING_OPENING", "there is no opening with its salt");
      }
      if (!["commitment", "leafIndex", "inclusionProof"].every((key) => has(evidence, key))) {
        throw new Finding("LEAF_MISSING", "there is no leaf with its path");
      }
      this.opening = opened(text(evidence, "opening"));
      return "well formed";
    }

    async content() {
      await checkContent(this.evidence, this.opening);
      return "the content is what was committed to";
    }

    binding() {
      const { evidence, opening, asked } = this;
      const label = [text(evidence, "type"), text(evidence, "id")];
      const asWished = (want, found) => want === undefined || want === null || want === found;
      if (!asWished(asked.type, label[0]) || !asWished(asked.id, label[1])) {
        throw new Finding("BINDING_MISMATCH", "it is not the resource that was asked for");
      }
      if (this.format === ABSENCE) return label[0];
      label.push(natural(evidence, "version"));
      if (text(opening, "channel") !== this.trust.channel) {
        throw new Finding("BINDING_MISMATCH", "it was committed to another channel");
      }
      const told = [text(opening, "type"), text(opening, "id"), natural(opening, "version")];
      if (label.some((part, place) => part !== told[place])) {
        throw new Finding("BINDING_MISMATCH", "the evidence is labelled as another resource or version");
      }
      checkIdentity(evidence, opening);
      if (asked.version !== undefined && BigInt(asked.version) !== label[2]) {
        throw new Finding("BINDING_MISMATCH", "it is not the version that was asked for");
      }
      if (asked.patient !== undefined && !texts(opening, "patients").includes(asked.patient)) {
        throw new Finding("BINDING_MISMATCH", "it is not about the patient that was asked for");
      }
      return `${label[0]} version ${label[2]}`;
    }

    async commitment() {
      await checkCommitment(this.evidence, text(this.evidence, "opening"));
      return "the opening opens the commitment";
    }

    async inclusion() {
      const { size, root } = this.note;
      const led = await rootOf(this.evidence, natural(this.evidence, "leafIndex"), size);
      if (!same(led, hash(this.evidence, "rootHash"))) {
        throw new Finding("INCLUSION_INVALID", "the path does not lead to the root that the log was served with");
      }
      if (!same(led, root)) {
        throw new Finding("ROOT_MISMATCH", "the log that was served has another root than its signed checkpoint");
      }
      return `leaf ${natural(this.evidence, "leafIndex")} of ${size}`;
    }

    async checkpoint() {
      const found = this.note;
      if (found.origin !== this.trust.channel) {
        throw new Finding("CHECKPOINT_INVALID", "the checkpoint is of another channel");
      }
      for (const given of found.signatures) {
        for (const key of this.trust.log.filter((one) => one.name === given.name && one.id === given.id)) {
          await checkSignature(key, given.bytes, found.text, "SIGNATURE_INVALID");
          this.signers.push(key);
        }
      }
      if (this.signers.length === 0) {
        throw new Finding("SIGNATURE_INVALID", "no log key that is trusted has signed the checkpoint");
      }
      return `signed by ${found.origin}`;
    }

    key() {
      const { size } = this.note;
      if (!this.signers.some((key) => key.first <= size && (key.last === null || size <= key.last))) {
        throw new Finding("KEY_NOT_VALID_AT_SIZE", `the key that signed was not the log's at size ${size}`);
      }
      return `the log's key at size ${size}`;
    }

    async receipts() {
      const found = this.note;
      const { parties, log } = this.trust;
      const given = items(this.evidence, "receipts").map((item) => object(item, RECEIPT, "a receipt"));
      const claims = given.map((it) => {
        const party = text(it, "backend");
        return { party, key: parties.get(party), line: () => cosignature(it, found) };
      });
      for (const [party, key] of parties) {
        for (const line of found.signatures) {
          if (line.name === key.name && line.id === key.id) claims.push({ party, key, line: () => line });
        }
      }
      const signed = new Map();
      const told = [];
      let broken = false;
      for (const { party, key, line } of claims) {
        try {
          if (signed.has(party)) throw new Finding("RECEIPT_INVALID", "given twice");
          if (key === undefined) told.push(`${party}: not checked`);
          else signed.set(party, { key: hex(key.public), seconds: await cosignedAt(key, line(), found) });
        } catch (error) {
          if (!(error instanceof Finding)) throw error;
          broken = true;
          told.push(`${party}: ${error.message}`);
        }
      }
      const own = new Set(log.map((key) => hex(key.public))); // the log does not witness itself
      for (const [party, { key }] of [...signed]) if (own.has(key)) signed.delete(party);
      const quorum = this.asked.quorum === undefined ? this.trust.quorum : BigInt(this.asked.quorum);
      // Keys are counted, not lines and not names.
      const keys = new Map([...signed].map(([party, word]) => [party, word.key]));
      const distinct = new Set(keys.values()).size;
      const met = typeof quorum === "bigint" ? BigInt(distinct) >= quorum : this.inGroup(keys, quorum);
      told.unshift(`${distinct} of ${quorum} needed`);
      if (!met || broken) throw new Finding(met ? "RECEIPT_INVALID" : "QUORUM_NOT_MET", told.join("; "));
      const times = [...signed.values()].map((word) => word.seconds).sort((a, b) => (a < b ? 1 : a > b ? -1 : 0));
      this.times = typeof quorum === "bigint" ? times.slice(0, quorum > 1n ? Number(quorum) : 1) : times;
      return told.join("; ");
    }

    inGroup(keys, quorum) {
      const met = new Map(keys);
      for (const [name, { threshold, members }] of this.trust.groups) {
        const there = new Set(members.filter((member) => met.has(member)).map((member) => met.get(member)));
        if (BigInt(there.size) >= threshold) met.set(name, hex(encoder.encode(name)));
      }
      return met.has(quorum);
    }

    freshness() {
      if (this.asked.since === undefined) return null;
      const since = BigInt(this.asked.since);
      if (this.times.length === 0 || this.times.some((seconds) => seconds < since)) {
        throw new Finding("STALE_CHECKPOINT", "the checkpoint was cosigned before the time that was asked for");
      }
      return "recent enough";
    }

    async consistency() {
      if (this.asked.seen === undefined) return null;
      const [, number, root] = /^([0-9]+):((?:[0-9a-f]{2})*)$/.exec(this.asked.seen);
      const found = this.note;
      const size = BigInt(number);
      if (size > found.size) throw new Finding("SIZE_REGRESSION", "the log is smaller than it was");
      let path = [];
      if (size < found.size) {
        if (!this.evidence.has("consistency")) throw new Finding("CONSISTENCY_MISSING", "nothing says that it grew");
        path = texts(this.evidence, "consistency").map((step) => {
          if (!HASH.test(step)) throw new Finding("FORK", "a hash is not 32 bytes in hex");
          return unhex(step);
        });
      }
      if (!(await continues(size, unhex(root), found, path))) {
        throw new Finding("FORK", "the log does not continue the one that was seen");
      }
      return `it continues the log of ${size} leaves`;
    }

    async current() {
      const absent = this.format === ABSENCE;
      if (!this.evidence.has("state")) {
        if (absent || this.asked.latest) throw new Finding("STATE_MISSING", "there is no proof of the current state");
        return null;
      }
      const { size, root } = this.note;
      const state = object(this.evidence.get("state"), words(`${LEAF} levels siblings end`), "the state");
      const opening = opened(text(state, "opening"), ["state"]);
      if (text(opening, "channel") !== this.trust.channel || natural(opening, "size") !== size) {
        throw new Finding("STATE_INVALID", "it is the state of another log or size");
      }
      await checkCommitment(state, text(state, "opening"));
      const led = await rootOf(state, size - 1n, size);
      if (!same(led, root) || !same(root, hash(this.evidence, "rootHash"))) {
        throw new Finding("INCLUSION_INVALID", "the state leaf is not the last leaf of the log");
      }
      const place = await sha256(encoder.encode(`${text(this.evidence, "type")}/${text(this.evidence, "id")}`));
      const end = has(state, "end") ? object(state.get("end"), words("place value"), "the end") : null;
      const siblings = unbase64(text(state, "siblings"), "STATE_INVALID");
      if (!same(await mapRoot(place, end, text(state, "levels"), siblings), hash(opening, "map"))) {
        throw new Finding("STATE_INVALID", "the way does not lead to the map that was sealed");
      }
      const there = end !== null && same(hash(end, "place"), place);
      if (absent) {
        if (there) throw new Finding("ABSENCE_INVALID", "there is such a resource");
        return "there never was such a resource";
      }
      if (!there) throw new Finding("STATE_INVALID", "the way ends at another place");
      if (!same(hash(end, "value"), hash(this.evidence, "commitment"))) {
        throw new Finding("STALE_VERSION", "the resource has a newer version");
      }
      return "it is the latest version";
    }

    async dependencies() {
      const { size } = this.note;
      const named = this.opening.has("provenance") ? hex(hash(this.opening, "provenance")) : null;
      const given = items(this.evidence, "dependencies").map((item) => object(item, words(`${LEAF} role`), "a dependency"));
      const most = named === null ? 0 : 1;
      if (given.length > most || given.some((item) => item.get("role") !== "provenance")) {
        throw new Finding("MALFORMED", "there is a dependency that the opening does not name");
      }
      if (named === null) return "none named";
      const [item] = given;
      if (item === undefined || hex(hash(item, "commitment")) !== named) {
        throw new Finding("DEPENDENCY_MISSING", "the Provenance that the opening names is not there");
      }
      if (!same(await rootOf(item, natural(item, "leafIndex"), size), hash(this.evidence, "rootHash"))) {
        throw new Finding("INCLUSION_INVALID", "the path of the Provenance does not lead to the root");
      }
      if (natural(item, "leafIndex") >= natural(this.evidence, "leafIndex")) {
        throw new Finding("ORDER_VIOLATION", "the Provenance entered the log after the version that rests on it");
      }
      if (!["opening", "salt", "content"].some((key) => item.has(key))) {
        return "the Provenance is in the log, before it";
      }
      return this.openedProvenance(item);
    }

    async openedProvenance(item) {
      const opening = opened(text(item, "opening"));
      await checkCommitment(item, text(item, "opening"));
      if (opening.get("kind") !== "provenance" || text(opening, "channel") !== this.trust.channel) {
        throw new Finding("BINDING_MISMATCH", "the dependency is not a Provenance of this channel");
      }
      const names = ["id", "type", "version", "versionHash"].filter((key) => this.opening.has(key));
      const named = new Map(names.map((key) => [key, this.opening.get(key)]));
      const prefix = encoder.encode("hawsepipe/target/v1\0");
      const target = hex(await sha256(prefix, hash(this.evidence, "salt"), canonical(named)));
      if (!texts(opening, "targets").includes(target)) {
        throw new Finding("DEPENDENCY_MISSING", "the Provenance does not name this version");
      }
      if (item.has("content")) {
        await checkContent(item, opening);
        checkIdentity(item, opening);
      }
      return "the Provenance is in the log, before it, and names it";
    }
  }

  async function verify(evidence, trust, asked = {}) {
    const steps = [];
    let number = 0;
    const current = new Case(evidence, trust, asked);
    for (const [name, needs, check] of current.steps()) {
      number += 1;
      const missing = steps.find((step) => needs.includes(step.number) && step.result !== "ok");
      if (missing !== undefined) {
        steps.push({ number, name, result: "skipped", code: "", text: `needs step ${missing.number}` });
        continue;
      }
      try {
        const told = current.format === ABSENCE && OF_A_VERSION.includes(name) ? null : await check();
        steps.push({ number, name, result: told === null ? "skipped" : "ok", code: "", text: told ?? "not asked for" });
      } catch (error) {
        // What nobody thought of is a finding as well: a verifier that crashes can be got around.
        const known = error instanceof Finding;
        const reason = known ? error.message : "the evidence cannot be understood";
        steps.push({ number, name, result: "failed", code: known ? error.code : "MALFORMED", text: reason });
      }
    }
    const failed = steps.find((step) => step.result === "failed");
    const done = REQUIRED[current.format].every((wanted) => steps[wanted - 1].result === "ok");
    return { proven: done && failed === undefined, code: failed === undefined ? "" : failed.code, steps };
  }

  return { verify };
})();
