// Requests to the service. Errors come as sentences. Where the service wants a token, it is handed in once and lives in a
// cookie that no script can read, so nothing here holds it.

const BASE = "/api/v1";
/** A service that has not answered by then is told as not answering. */
const PATIENCE_MS = 15_000;
const held = new Map();
/** Answers kept for "not modified"; a person looks at a few lists at a time. */
const HELD_MAX = 40;

/** What went wrong, in words; `status` is 0 where nobody answered. */
export class Trouble extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Query text of the values that are there. */
export function query(values) {
  const there = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return there.length ? `?${new URLSearchParams(there)}` : "";
}

/** Reads a view; asks only whether it changed where it is held. */
export async function get(path, signal) {
  const known = held.get(path);
  const answer = await ask(path, { headers: known ? { "If-None-Match": known.tag } : {} }, signal);
  if (answer.status === 304 && known) return known.body;
  if (!answer.ok) throw await trouble(answer);
  const body = await answer.json();
  const tag = answer.headers.get("ETag");
  if (tag) {
    held.delete(path);
    held.set(path, { tag, body });
    if (held.size > HELD_MAX) held.delete(held.keys().next().value);
  }
  return body;
}

/** Asks for a change; answers what was sent on. */
export async function post(path, body) {
  const answer = await ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw await trouble(answer);
  return answer.json();
}

/** Comes in with a token, or leaves. */
export async function signIn(token) {
  await post("/session", { token });
}
export async function signOut() {
  await ask("/session", { method: "DELETE" });
}

/** Opens the stream; the caller reads the body. */
export async function stream(signal) {
  const answer = await fetch(BASE + "/stream", { headers: { Accept: "text/event-stream" }, signal, cache: "no-store" });
  if (!answer.ok) throw await trouble(answer);
  return answer.body;
}

async function ask(path, options, signal) {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  const signals = signal ? AbortSignal.any([signal, limit]) : limit;
  try {
    return await fetch(BASE + path, { ...options, signal: signals, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Trouble(
      0,
      limit.aborted ? `The service has not answered for ${PATIENCE_MS / 1000} s.` : "The service does not answer.",
    );
  }
}

async function trouble(answer) {
  let told = null;
  try {
    told = await answer.json();
  } catch {
    /* no problem document: the status has to do */
  }
  const words = told?.detail || told?.title || answer.statusText || "no reason given";
  return new Trouble(answer.status, words);
}
