// A person's path through the real thing: `paceline demo`, which is the whole service over a simulated market.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { DESKTOP, PHONE, VIEWS, accessible, expect, go, inWords, shot, step, until, visit } from "./hands.mjs";

const DEMO = ["demo", "--for", "70s", "--speed", "600", "--seed", "7"];
/** How many proposals are tried: one that no longer waits is refused (409), and the page must say so. */
const APPROVALS = 5;
/** One of the campaigns asks a person; what nobody decides lapses after four hours of the market, and the next is made. */
const PROPOSAL_MS = 30_000;

/** A person's path through the real thing. */
export async function demo(binary) {
  const port = await freePort();
  const child = spawn(binary, [...DEMO, "--port", String(port)], { stdio: "ignore" });
  const service = { address: `http://127.0.0.1:${port}` };
  try {
    await until(
      async () => (await fetch(`${service.address}/health/ready`).catch(() => null))?.ok,
      20_000,
      "the demo is not ready",
    );
    await visit(service, { tolerate: /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_EMPTY|status of 409/ }, page =>
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
  await step("demo: a proposal is approved", async () => {
    await go(page, "#/proposals");
    const approve = page.locator("article button[data-action=approve]").first();
    await approve.waitFor({ timeout: PROPOSAL_MS });
    await shot(page, "demo-proposals");
    await accessible(page, "demo proposals");
    // The market runs on: a proposal may lapse, or be replaced by a newer one, between the look and the click.
    for (let refused = 0; refused < APPROVALS; refused += 1) {
      const id = await approve.getAttribute("data-id");
      const answer = page.waitForResponse(one => one.request().method() === "POST" && one.url().includes(id));
      await approve.click();
      await page.fill("#reason", "walk: the plan asks for it");
      await page.getByRole("button", { name: "Approve", exact: true }).click();
      if ((await answer).status() !== 409) {
        await until(
          async () => (await (await fetch(`${service.address}/api/v1/proposals/${id}`)).json()).state !== "proposed",
          15_000,
          "the proposal still waits",
        );
        return refused ? `approved after ${refused} that no longer waited` : "approved";
      }
      await page.getByText("no longer waits").first().waitFor();
      await go(page, "#/");
      await go(page, "#/proposals");
      await approve.waitFor({ timeout: PROPOSAL_MS });
    }
    throw new Error(`none of ${APPROVALS} proposals could be approved`);
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

function freePort() {
  return new Promise(done => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}
