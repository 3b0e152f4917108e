// A minimal chatbot backend over Citewell: reads a message a line, prints what to show for it.
//
//   CITEWELL_URL=http://127.0.0.1:8000 CITEWELL_KEY=cw_… node examples/chatbot.mjs
//
// It needs Node 20 and nothing else. A message is never logged, put into an address or into an argument.

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const ADDRESS = (process.env.CITEWELL_URL ?? "http://127.0.0.1:8000").replace(/\/+$/, "");
const KEY = process.env.CITEWELL_KEY ?? "";
// A person waits so many seconds for an answer, all tries together, and a single try takes so many at most.
const BUDGET = Number(process.env.CITEWELL_BUDGET ?? 12);
const TRY = Number(process.env.CITEWELL_TRY ?? 5);
const MOST_TURNS = 10;
// No reply, too many questions, or a service (or the proxy before it) that is busy or starting.
const PASSING = new Set([0, 429, 502, 503, 504]);

const UNAVAILABLE =
  "I cannot look this up at the moment. Please try again later. If it is urgent, call your care team or " +
  "your emergency number now.";
const LEADS = {
  answered: "",
  uncertain: "I am not sure that this answers your question:",
  no_answer: "I found nothing in our pages that answers this. Your care team can help.",
};
const FRESHNESS = {
  current: (page) => `reviewed ${page.last_reviewed}`,
  due: (page) => `reviewed ${page.last_reviewed}, a new review is due`,
  overdue: (page) => `OUT OF DATE? reviewed ${page.last_reviewed}, a new review was due on ${page.review_due}`,
  unknown: () => "date of review unknown",
};
// Rather the day on which the pages were collected: the words may be older.
const WEAK = (page) => `dated ${page.last_reviewed} with its whole collection`;

// Status and JSON of POST /ask; status 0 when there is no answer within the budget.
// To ask twice does no harm, so whatever may pass is tried again.
async function ask(body) {
  const end = performance.now() + BUDGET * 1000;
  for (let attempt = 0; attempt < 100; attempt++) {
    const { status, reply, after } = await send(body, Math.min(TRY * 1000, end - performance.now()));
    if (!PASSING.has(status)) return { status, reply };
    // Waits grow, and differ from client to client so that they do not all come back at once.
    const pause = after * 1000 + (0.5 + Math.random() / 2) * Math.min(4000, 250 * 2 ** attempt);
    if (performance.now() + pause >= end) break;
    await sleep(pause);
  }
  return { status: 0, reply: {} };
}

// One try: status (0 for none), JSON, and the seconds of Retry-After.
async function send(body, timeout) {
  const headers = { "Content-Type": "application/json", ...(KEY && { Authorization: `Bearer ${KEY}` }) };
  // The time counts until the whole body is read. No redirect may take a message elsewhere.
  const signal = AbortSignal.timeout(Math.max(1, Math.ceil(timeout)));
  const request = { method: "POST", headers, body: JSON.stringify(body), signal, redirect: "manual" };
  try {
    const reply = await fetch(`${ADDRESS}/ask`, request);
    const after = Number(reply.headers.get("Retry-After")) || 0;
    const isJson = (reply.headers.get("Content-Type") ?? "").includes("json");
    const text = await reply.text();
    return { status: reply.status, reply: isJson || reply.ok ? JSON.parse(text) : {}, after };
  } catch {
    return { status: 0, reply: {}, after: 0 };
  }
}

// What to show for a message. Earlier ones are what 'and its side effects?' refers to.
async function respond(message, history) {
  const { status, reply } = await ask({ question: message, history: history.slice(-MOST_TURNS) });
  if (status === 200) {
    // Only what was taken once may be sent again as history.
    history.push({ role: "user", content: message });
    return shown(reply);
  }
  if (status === 413 || status === 422) {
    const faults = (reply.errors ?? []).map((fault) => fault.message).join("; ");
    return `Please change your message and send it again: ${faults || (reply.detail ?? "too long")}`;
  }
  // 401 or 403: the key is missing or wrong. The service's own log says more under this request_id.
  console.error(`citewell: status ${status}, request ${reply.request_id ?? "none"}`);
  return UNAVAILABLE;
}

// Notices first, whatever was found; then how sure it is, the words, and where each of them stands.
function shown(answer) {
  const labels = new Map(answer.passages.map((passage) => [passage.rank, passage.citation.label]));
  const words = answer.status === "no_answer" ? [] : (answer.answer?.sentences ?? []);
  return [
    ...answer.notices.map((notice) => `!! ${notice.message}`),
    // A status that is new to this program is treated as the doubtful one.
    LEADS[answer.status] ?? LEADS.uncertain,
    words.map((one) => `${one.text} ${labels.get(one.passage) ?? ""}`).join(" "),
    ...answer.passages.map((passage) => cited(passage.citation)),
  ].filter(Boolean).join("\n");
}

// A citation with its link, how fresh the page is, and the words that its licence asks for.
function cited(page) {
  const link = page.deep_link ?? page.url ?? "no address";
  const isWeak = page.review_evidence === "collection" && page.freshness === "current";
  const fresh = (isWeak ? WEAK : (FRESHNESS[page.freshness] ?? FRESHNESS.unknown))(page);
  const attribution = page.attribution ? `\n    ${page.attribution}` : "";
  return `${page.label} ${page.title} (${fresh})\n    ${link}${attribution}`;
}

// Answer every line of one conversation.
const history = [];
for await (const line of createInterface({ input: process.stdin })) {
  const message = line.trim();
  if (message) console.log(await respond(message, history));
}
