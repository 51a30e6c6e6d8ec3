// Asking the service: one form a request, one kind of fault whatever went wrong.

const HEADER = "X-API-Key";
const BUSY_TRIES = 5;

let key = "";

/** Keep the key that every request carries, in this variable and nowhere else. */
export function useKey(value) {
  key = value;
}

/** Why there is no answer: a code of the service, or `connection_lost`, `unreadable_file`. */
export class Refusal extends Error {
  constructor(code, message = "", { status = 0, detail = {} } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.detail = detail;
  }
}

/**
 * Get a JSON document.
 * @throws {Refusal}
 */
export async function get(path) {
  return (await send(path, { headers: headers() })).json();
}

/**
 * Send a file with fields beside it and wait for a good answer.
 *
 * The file's name is not sent: it may name a patient. A busy service is asked again after the
 * seconds that it names, a few times.
 *
 * @param {string} path
 * @param {Blob} file
 * @param {Object} fields
 * @param {{signal: AbortSignal, onBusy: function(number)}} options - `onBusy` is told the seconds
 *   of every wait as they pass.
 * @throws {Refusal} or the signal's AbortError.
 */
export async function ask(path, file, fields, { signal, onBusy = () => {} }) {
  for (let tries = 1; ; tries += 1) {
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) body.append(name, value);
    body.append("image", file, "image");
    try {
      return await send(path, { method: "POST", headers: headers(), body, signal });
    } catch (fault) {
      if (fault.status !== 429 || tries === BUSY_TRIES) throw fault;
      await wait(fault.detail.retry_after ?? 1, signal, onBusy);
    }
  }
}

function headers() {
  return key ? { [HEADER]: key } : {};
}

async function send(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "omit", cache: "no-store", ...options });
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Refusal("connection_lost");
  }
  if (answer.ok) return whole(answer);
  throw await refusal(answer);
}

/** The same answer with its body arrived, so that a break in the middle is noticed here. */
async function whole(answer) {
  try {
    return new Response(await answer.blob(), { headers: answer.headers });
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Refusal("connection_lost");
  }
}

async function refusal(answer) {
  const { status } = answer;
  let error = {};
  try {
    error = (await answer.json()).error ?? {};
  } catch {
    // A proxy on the way answers in a form of its own; the status says enough.
  }
  const detail = { ...error.detail };
  if (status === 429) detail.retry_after ??= Number(answer.headers.get("Retry-After")) || 1;
  return new Refusal(error.code ?? `http_${status}`, error.message, { status, detail });
}

async function wait(seconds, signal, onBusy) {
  for (let left = seconds; left > 0; left -= 1) {
    onBusy(left);
    await new Promise((go, stop) => {
      const abort = () => {
        clearTimeout(timer);
        stop(signal.reason);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", abort);
        go();
      }, 1000);
      signal.addEventListener("abort", abort, { once: true });
    });
  }
  onBusy(0);
}
