// What every walk does with a page: visit, step, look, and complain. One browser for all of them.

import { join } from "node:path";

export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };
export const VIEWS = {
  portfolio: "#/",
  proposals: "#/proposals",
  alerts: "#/alerts",
  experiments: "#/experiments",
  quality: "#/quality",
  halts: "#/halts",
  audit: "#/audit",
};

/** Set once by who starts the walks: the browser, axe's source, where screenshots go; and how many steps failed. */
export const walk = { browser: null, axe: "", shots: "", failures: 0, page: null };

/** A page of its own; whatever a browser complains of, or asks elsewhere for, is a failure. */
export async function visit(service, { tolerate }, act) {
  const context = await walk.browser.newContext({ viewport: DESKTOP, colorScheme: "light" });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  walk.page = page;
  const complaints = [];
  page.on(
    "console",
    message =>
      ["error", "warning"].includes(message.type()) &&
      !tolerate?.test(message.text()) &&
      complaints.push(message.text()),
  );
  page.on("pageerror", error => complaints.push(error.stack));
  page.on(
    "request",
    request => !request.url().startsWith(service.address) && complaints.push(`outside request: ${request.url()}`),
  );
  await page.goto(`${service.address}/`);
  await act(page);
  await step("the browser has nothing to complain of", async () => expect(!complaints.length, complaints.join("\n")));
  await context.close();
}

export async function step(name, act) {
  const began = Date.now();
  try {
    const more = await act();
    console.log(`ok      ${name} (${more ? `${more}, ` : ""}${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    walk.failures += 1;
    console.log(`FAILED  ${name}: ${error.message}`);
    await shot(walk.page, `failed-${walk.failures}`).catch(() => {});
  }
}

export async function go(page, hash) {
  const before = await page.evaluate(() => document.querySelector(".view"));
  await page.evaluate(wanted => {
    if (location.hash === wanted) dispatchEvent(new Event("hashchange"));
    else location.hash = wanted;
  }, hash);
  await page.waitForFunction(
    () => document.querySelector("main h1") && !document.querySelector("main .loading"),
    before,
  );
}

export async function accessible(page, where) {
  if (!(await page.evaluate(() => Boolean(globalThis.axe)))) await page.evaluate(walk.axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map(
    one =>
      `${one.id} (${one.impact}): ${one.nodes
        .slice(0, 3)
        .map(node => `${node.target} ${node.failureSummary.split("\n")[1] ?? ""}`)
        .join("; ")}`,
  );
  expect(!told.length, `axe objects to ${where}: ${told.join("\n")}`);
}

export async function inWords(page, where) {
  const text = await page.locator("body").innerText();
  const bad = text.match(/.{0,40}\b(NaN|undefined|null|Infinity|\[object)\b.{0,30}/);
  expect(!bad, `${where} shows "${bad?.[0]}"`);
}

export async function narrowEnough(page, where) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(wide <= 1, `${where} is ${wide} px wider than the screen`);
}

export function shot(page, name, fullPage = false) {
  return page.screenshot({ path: join(walk.shots, `${name}.png`), fullPage });
}

export function expect(holds, words) {
  if (!holds) throw new Error(words);
}

export async function until(look, limit, words, enough = Boolean) {
  const end = Date.now() + limit;
  for (;;) {
    const seen = await look();
    if (enough(seen)) return seen;
    if (Date.now() > end) throw new Error(words);
    await new Promise(done => setTimeout(done, 150));
  }
}
