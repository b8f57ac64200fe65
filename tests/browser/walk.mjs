// Walks the dashboard as a person does, in a real browser: first against a made-up service for the states that a healthy
// one never shows, then against `paceline demo`. What must hold all the way: no console error, no request to anywhere
// else, nothing that axe objects to, and no NaN, null or undefined on the page. Screenshots are kept to be looked at.
//
//   node walk.mjs [--binary FILE] [--shots FOLDER] [--only states|demo]
//
// Without Chromium or the two libraries it says SKIPPED and why, and ends with 0.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { demo } from "./demo.mjs";
import { walk } from "./hands.mjs";
import { states } from "./states.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));

const options = given(process.argv.slice(2));
const binary = resolve(options.binary ?? join(HERE, "../../target/release/paceline"));
if (options.only !== "states" && !existsSync(binary))
  skip(`no binary at ${binary}; build it, or name it with --binary`);
const { chromium, axe, executablePath } = await tools();
walk.axe = axe;
walk.shots = resolve(options.shots ?? join(HERE, "../.work/browser"));
mkdirSync(walk.shots, { recursive: true });
walk.browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  if (options.only !== "demo") await states();
  if (options.only !== "states") await demo(binary);
} finally {
  await walk.browser.close();
}
const result = walk.failures ? `${walk.failures} steps failed` : "the walk is done";
console.log(`${result}; screenshots in ${walk.shots}`);
process.exit(walk.failures ? 1 : 0);

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
