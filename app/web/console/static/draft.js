// What somebody writes about a profile, beside what it was made of. Nothing here is shown or sent.

const NEW = {
  name: "",
  description: "",
  channels: ["trades"],
  delivery: { mode: "streaming" },
  status: "active",
  selection: { instruments: [] },
  version: 0,
};

export function contentOf({ name, description, channels, delivery, status, selection }) {
  return structuredClone({ name, description, channels, delivery, status, selection });
}

/** Whether two values say the same in JSON; the order in which an object names its fields says nothing. */
export function same(one, other) {
  return JSON.stringify(one, byName) === JSON.stringify(other, byName);
}

function byName(_, value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, value[name]]));
}

/** Of a profile as it was read, or of a new one. */
export class Draft {
  #asked = { body: null, key: null };

  constructor(profile = NEW, etag = null) {
    this.base = contentOf(profile);
    this.version = profile.version;
    this.updatedAt = profile.updated_at;
    this.etag = etag;
    this.undo();
  }

  get isChanged() {
    return !same(this.base, this.content);
  }

  undo() {
    this.content = structuredClone(this.base);
  }

  /** One for each content: who asks again for the same gets the same answer, and no second profile. */
  get idempotencyKey() {
    const body = JSON.stringify(this.content);
    if (body !== this.#asked.body) this.#asked = { body, key: randomKey() };
    return this.#asked.key;
  }
}

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
