// Takes the handbook's picture of the dashboard: the portfolio of a demo in its afternoon, as a person meets it.
//
//   node tests/browser/picture.mjs [BINARY] [FILE]     target/release/paceline, deploy/docs/images/portfolio.png

import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const [binary = join(ROOT, "target/release/paceline"), file = join(ROOT, "deploy/docs/images/portfolio.png")] =
  process.argv.slice(2);
const PORT = 20_000 + Math.floor(Math.random() * 20_000);
const address = `http://127.0.0.1:${PORT}`;
/** Seconds of the demo until most campaigns have had a command and a line to show. */
const AFTER_S = 75;
const PATIENCE_S = 300;

const demo = spawn(binary, ["demo", "--for", `${PATIENCE_S}s`, "--seed", "7", "--port", String(PORT)], { stdio: "ignore" });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const until = Date.now() + PATIENCE_S * 1000;
  while (!(await fetch(`${address}/health/ready`).catch(() => null))?.ok) {
    if (Date.now() > until || demo.exitCode !== null) throw new Error("the demo is not ready");
    await new Promise(done => setTimeout(done, 300));
  }
  await new Promise(done => setTimeout(done, AFTER_S * 1000));
  const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light" })).newPage();
  await page.goto(`${address}/`);
  await page.locator("svg.spark").first().waitFor();
  await page.locator("#line", { hasText: "Live" }).waitFor();
  await page.screenshot({ path: file });
  console.log(file);
} finally {
  await browser.close();
  demo.kill("SIGKILL");
}
