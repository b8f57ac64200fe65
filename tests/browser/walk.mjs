// Walks the dashboard as a person does, in a real browser: first against a made-up service for the states that a healthy
// one never shows, then against `paceline demo`. What must hold all the way: no console error, no request to anywhere
// else, nothing that axe objects to, and no NaN, null or undefined on the page. Screenshots are kept to be looked at.
//
//   node walk.mjs [--binary FILE] [--shots FOLDER] [--only states|demo]
//
// Without Chromium or the two libraries it says SKIPPED and why, and ends with 0.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const options = given(process.argv.slice(2));
const SHOTS = resolve(options.shots ?? join(HERE, "../.work/browser"));
const DESKTOP = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };
/** The demo's market runs this much faster, so that a first proposal comes within the walk. */
const DEMO = ["demo", "--for", "70s", "--speed", "600", "--seed", "7"];
/** A first proposal comes some four hours into the market. */
const PROPOSAL_MS = 30_000;
const VIEWS = {
  portfolio: "#/",
  proposals: "#/proposals",
  alerts: "#/alerts",
  quality: "#/quality",
  halts: "#/halts",
  audit: "#/audit",
};

const { chromium, axe, executablePath } = await tools();
const { fake } = await import("./fake.mjs");
mkdirSync(SHOTS, { recursive: true });
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
let failures = 0;
let last = null;
try {
  if (options.only !== "demo") await states();
  if (options.only !== "states") await demo();
} finally {
  await browser.close();
}
console.log(
  failures ? `${failures} steps failed; screenshots in ${SHOTS}` : `the walk is done; screenshots in ${SHOTS}`,
);
process.exit(failures ? 1 : 0);

/** What a service shows on a bad day. */
async function states() {
  const service = await fake({ campaigns: 23 });
  const knobs = service.state;
  await visit(service, {}, async page => {
    await step("every view is drawn in words, light, dark and narrow, and axe is content", async () => {
      const views = { ...VIEWS, campaign: "#/campaign/account-2/campaign-00002" };
      knobs.audit = [
        {
          at: Date.UTC(2026, 10, 22, 8),
          actor: "ann",
          role: "approver",
          action: "approve",
          subject: "0123",
          reason: "seen",
          outcome: "sent",
        },
      ];
      knobs.halts = [
        {
          scope: "account=account-1",
          level: "account",
          account_id: "account-1",
          campaign_id: null,
          since: Date.UTC(2026, 10, 22, 8),
          actor: "ann",
          reason: "wrong prices",
        },
      ];
      await page.locator("#line", { hasText: "Live" }).waitFor();
      service.tell("halt", { halts: knobs.halts });
      for (const [name, hash] of Object.entries(views)) {
        await go(page, hash);
        for (const [look, size, scheme] of [
          ["light", DESKTOP, "light"],
          ["dark", DESKTOP, "dark"],
          ["phone", PHONE, "light"],
          ["phone-dark", PHONE, "dark"],
        ]) {
          await page.setViewportSize(size);
          await page.emulateMedia({ colorScheme: scheme });
          if (look !== "phone-dark") await accessible(page, `${name}, ${look}`);
          await narrowEnough(page, `${name}, ${look}`);
          await shot(page, `fake-${name}-${look}`);
        }
        await inWords(page, name);
      }
      await page.setViewportSize(DESKTOP);
      await page.emulateMedia({ colorScheme: "light" });
      knobs.halts = [];
      service.tell("halt", { halts: [] });
    });
    await step("a name that looks like markup is shown as text", async () => {
      await go(page, "#/");
      await page.getByText("<img src=x onerror=").first().waitFor();
      expect((await page.locator("main img").count()) === 0, "markup of a name became an element");
    });
    await step("the keyboard is enough: search, sort, open, come back, cancel", async () => {
      await page.keyboard.press("/");
      expect((await page.evaluate(() => document.activeElement.id)) === "q", "/ does not lead to the search");
      await page.keyboard.type("video");
      await page.getByText("6 campaigns match").waitFor();
      await page.fill("#q", "");
      await page.getByText("23 campaigns", { exact: true }).waitFor();
      const spent = page.getByRole("button", { name: "Spent today" });
      await spent.focus();
      await page.keyboard.press("Enter");
      await page.locator("th[aria-sort=descending]", { hasText: "Spent today" }).waitFor();
      await page.locator("td a, th a").first().focus();
      await page.keyboard.press("Enter");
      await page
        .getByText("Why nothing is done now")
        .or(page.getByText("Nothing keeps Paceline"))
        .or(page.getByText("only observes"))
        .first()
        .waitFor();
      expect(
        (await page.evaluate(() => document.activeElement.tagName)) === "H1",
        "a new view does not take the focus to its heading",
      );
      await page.getByRole("button", { name: "Halt this campaign" }).focus();
      await page.keyboard.press("Enter");
      await page.getByRole("dialog").waitFor();
      await accessible(page, "dialog");
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
    });
    await step("several proposals are approved at once, with a reason", async () => {
      await go(page, "#/proposals");
      await page.getByRole("button", { name: "Choose all 2" }).click();
      await page.getByRole("button", { name: "Approve chosen" }).click();
      await page.getByRole("button", { name: "Approve 2" }).click();
      expect(await page.getByRole("dialog").isVisible(), "a decision without a reason was sent");
      await page.fill("#reason", "seen and fine");
      await page.keyboard.press("Enter");
      await page.getByText("Nothing waits for you.").waitFor();
    });
    await step("ten thousand campaigns stay a page at a time", async () => {
      knobs.campaigns = 10_000;
      await go(page, "#/?sort=spend&order=desc");
      await page.getByText("10,000 campaigns; 1 to 50 shown").waitFor();
      expect((await page.locator("tbody tr").count()) === 50, "more than a page is in the document");
      await page.getByRole("button", { name: "Next" }).click();
      await page.getByText("51 to 100 shown").waitFor();
      knobs.campaigns = 23;
    });
    await step("an empty service says so, and no number is made up", async () => {
      knobs.campaigns = 0;
      for (const [hash, text] of [
        ["#/", "No campaign has been specified yet."],
        ["#/alerts", "No alert is open."],
        ["#/proposals", "Nothing waits for you."],
        ["#/quality", "No partition is read by this process yet."],
        ["#/halts", "Nothing is halted."],
      ]) {
        await go(page, hash);
        await page.getByText(text).waitFor();
        await inWords(page, `empty ${hash}`);
      }
      await accessible(page, "empty");
      knobs.campaigns = 23;
    });
  });
  await visit(service, { tolerate: /Failed to load resource/ }, async page => {
    await step("a failure is told, and mends without a new start", async () => {
      await go(page, "#/");
      await page.getByText("23 campaigns").waitFor();
      knobs.fail = 503;
      await page.goto(`${service.address}/#/alerts`);
      await page.getByText("This could not be read.").waitFor();
      await accessible(page, "failure");
      await shot(page, "fake-failure");
      knobs.fail = null;
      await page.getByRole("button", { name: "Try again" }).click();
      await page.getByText("2 open alerts").waitFor();
    });
    await step("a lost line is told, figures are called old, and it comes back", async () => {
      knobs.fail = 503;
      service.silence();
      await page.getByText("The line to the service is lost").waitFor();
      await accessible(page, "lost line");
      await shot(page, "fake-lost");
      knobs.fail = null;
      await page.getByText("The line to the service is lost").waitFor({ state: "detached" });
      await page.locator("#line", { hasText: "Live" }).waitFor();
    });
    await step("who may only look sees no button that changes anything", async () => {
      knobs.role = "viewer";
      await page.goto(`${service.address}/#/proposals`);
      await page.reload();
      await page.getByText("read-only").waitFor();
      expect(
        (await page.getByRole("button", { name: /Approve|Reject|Halt/ }).count()) === 0,
        "a viewer is offered a change",
      );
      knobs.role = "admin";
    });
    await step("a token is asked for, and a wrong one is refused in words", async () => {
      knobs.token = "right";
      await page.reload();
      for (const [token, then] of [
        ["wrong", "The token was not accepted"],
        ["right", "Changes that Paceline would make"],
      ]) {
        await page.fill("#token", token);
        await accessible(page, "sign-in");
        await page.getByRole("button", { name: "Enter" }).click();
        await page.getByText(then).first().waitFor();
      }
    });
  });
  await service.stop();
}

/** A person's path through the real thing. */
async function demo() {
  const port = await freePort();
  const binary = resolve(options.binary ?? join(HERE, "../../target/release/paceline"));
  if (!existsSync(binary)) return skip(`no binary at ${binary}; build it, or name it with --binary`);
  const child = spawn(binary, [...DEMO, "--port", String(port)], { stdio: "ignore" });
  const service = { address: `http://127.0.0.1:${port}` };
  try {
    await until(
      async () => (await fetch(`${service.address}/health/ready`).catch(() => null))?.ok,
      20_000,
      "the demo is not ready",
    );
    await visit(service, { tolerate: /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_EMPTY/ }, page =>
      path(page, service, child),
    );
  } finally {
    child.kill("SIGKILL");
  }
}

async function path(page, service, child) {
  await step("demo: the portfolio fills, live", async () => {
    await until(async () => (await page.locator("tbody tr").count()) >= 5, 20_000, "no campaigns");
    await page.locator("#line", { hasText: "Live" }).waitFor();
    await until(async () => (await page.locator("svg.spark").count()) >= 5, 20_000, "no small charts");
  });
  await step("demo: one sees who spends the most of the day, and reads why", async () => {
    await go(page, "#/?sort=share&order=desc");
    await page.locator("tbody th a").first().waitFor();
    await shot(page, "demo-by-share");
    const commands = await until(
      async () => (await (await fetch(`${service.address}/api/v1/adjustments?limit=1`)).json()).adjustments,
      30_000,
      "no command",
      list => list.length,
    );
    await go(page, `#/campaign/${commands[0].account_id}/${commands[0].campaign_id}?command=${commands[0].command_id}`);
    await page.locator("details.command[open] .note-text").first().waitFor();
    expect(
      (await page.locator("details.command[open] .note-text").first().innerText()).length > 40,
      "the note does not say why",
    );
    await page.locator(".chart canvas").first().waitFor();
    await inWords(page, "campaign");
    for (const [look, size, scheme] of [
      ["light", DESKTOP, "light"],
      ["dark", DESKTOP, "dark"],
      ["phone", PHONE, "light"],
    ]) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme: scheme });
      await page.waitForTimeout(300);
      await page.evaluate(() => scrollTo(0, 0));
      await shot(page, `demo-campaign-${look}`, true);
    }
    await accessible(page, "demo campaign");
    await page.setViewportSize(DESKTOP);
    await page.emulateMedia({ colorScheme: "light" });
  });
  await step("demo: everything is halted, with a reason, and the banner says so", async () => {
    await go(page, "#/");
    await page.getByRole("button", { name: "Halt…" }).click();
    await page.fill("#reason", "walk: prices look wrong");
    await page.getByRole("button", { name: "Halt", exact: true }).click();
    await page.locator(".banner-halt", { hasText: "walk: prices look wrong" }).waitFor({ timeout: 15_000 });
    await page.locator("tr.is-halted").first().waitFor({ timeout: 15_000 });
    await accessible(page, "demo halted");
    await shot(page, "demo-halted");
  });
  await step("demo: and released, and both stand in the audit", async () => {
    await page.locator(".banner-halt button").click();
    await page.fill("#reason", "walk: prices are right");
    await page.getByRole("button", { name: "Release", exact: true }).click();
    await page.locator(".banner-halt").waitFor({ state: "detached", timeout: 15_000 });
    await go(page, "#/audit");
    await page.getByText("walk: prices look wrong").waitFor();
    await page.getByText("walk: prices are right").waitFor();
    await shot(page, "demo-audit");
  });
  await step("demo: a proposal is approved", async () => {
    await go(page, "#/proposals");
    const approve = page.locator("article button[data-action=approve]").first();
    // When the plan first asks for more than a step, the market decides, and how busy this machine is.
    if (
      !(await approve.waitFor({ timeout: PROPOSAL_MS }).then(
        () => true,
        () => false,
      ))
    )
      return `left out: no proposal came within ${PROPOSAL_MS / 1000} s`;
    await shot(page, "demo-proposals");
    await accessible(page, "demo proposals");
    const id = await approve.getAttribute("data-id");
    await approve.click();
    await page.fill("#reason", "walk: the plan asks for it");
    await page.getByRole("button", { name: "Approve", exact: true }).click();
    await until(
      async () => (await (await fetch(`${service.address}/api/v1/proposals/${id}`)).json()).state !== "proposed",
      15_000,
      "the proposal still waits",
    );
    return "approved";
  });
  await step("demo: every view in words", async () => {
    for (const [name, hash] of Object.entries(VIEWS)) {
      await go(page, hash);
      await page.waitForTimeout(250);
      await inWords(page, name);
      await shot(page, `demo-${name}-light`);
    }
    await page.emulateMedia({ colorScheme: "dark" });
    await go(page, "#/");
    await shot(page, "demo-portfolio-dark");
    await page.setViewportSize(PHONE);
    await shot(page, "demo-portfolio-phone");
    await page.setViewportSize(DESKTOP);
  });
  await step("demo: its end is told as a lost line", async () => {
    child.kill("SIGKILL");
    await page.getByText("The line to the service is lost").waitFor({ timeout: 15_000 });
  });
}

/** A page of its own; whatever a browser complains of, or asks elsewhere for, is a failure. */
async function visit(service, { tolerate }, act) {
  const context = await browser.newContext({ viewport: DESKTOP, colorScheme: "light" });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  last = page;
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

async function go(page, hash) {
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

async function accessible(page, where) {
  if (!(await page.evaluate(() => Boolean(globalThis.axe)))) await page.evaluate(axe);
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

async function inWords(page, where) {
  const text = await page.locator("body").innerText();
  const bad = text.match(/.{0,40}\b(NaN|undefined|null|Infinity|\[object)\b.{0,30}/);
  expect(!bad, `${where} shows "${bad?.[0]}"`);
}

async function narrowEnough(page, where) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(wide <= 1, `${where} is ${wide} px wider than the screen`);
}

function shot(page, name, fullPage = false) {
  return page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage });
}

async function step(name, act) {
  const began = Date.now();
  try {
    const more = await act();
    console.log(`ok      ${name} (${more ? `${more}, ` : ""}${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures += 1;
    console.log(`FAILED  ${name}: ${error.message}`);
    await shot(last, `failed-${failures}`).catch(() => {});
  }
}

function expect(holds, words) {
  if (!holds) throw new Error(words);
}

async function until(look, limit, words, enough = Boolean) {
  const end = Date.now() + limit;
  for (;;) {
    const seen = await look();
    if (enough(seen)) return seen;
    if (Date.now() > end) throw new Error(words);
    await new Promise(done => setTimeout(done, 150));
  }
}

function freePort() {
  return new Promise(done => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** The libraries and the browser; without them the walk is left out, and says so. */
async function tools() {
  const require = createRequire(import.meta.url);
  const found = [process.env.CHROMIUM, "chromium", "chromium-browser", "google-chrome"]
    .filter(Boolean)
    .map(where)
    .find(Boolean);
  if (!found) skip("no Chromium on this machine (CHROMIUM names another)");
  try {
    const { chromium } = await import("playwright-core");
    return { chromium, axe: readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"), executablePath: found };
  } catch {
    return skip("playwright-core and axe-core are missing: npm ci --prefix tests/browser");
  }
}

function where(command) {
  try {
    return execFileSync("sh", ["-c", 'command -v "$0"', command], { encoding: "utf8" }).trim();
  } catch {
    return null;
  }
}

function skip(why) {
  console.log(`SKIPPED the walk in a browser: ${why}`);
  process.exit(0);
}

function given(words) {
  const found = {};
  for (let at = 0; at < words.length; at += 2) found[words[at].replace(/^--/, "")] = words[at + 1];
  return found;
}
