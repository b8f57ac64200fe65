// Measures the dashboard of a running service: for each page what the service takes for the answers it is made of, and what
// a browser takes until its rows stand there. For large installations; the walk itself measures nothing.
//
//   node measure.mjs ADDRESS [ROUNDS]

import { chromium } from "playwright-core";

const [address, rounds = "20"] = process.argv.slice(2);
if (!address) {
  console.error("measure.mjs: the address of a service is needed: node measure.mjs http://127.0.0.1:8080");
  process.exit(64);
}

const api = async path => {
  const began = performance.now();
  const answer = await fetch(`${address}/api/v1${path}`);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text.slice(0, 200)}`);
  return { took: performance.now() - began, bytes: text.length, text };
};
const first = JSON.parse((await api("/campaigns?limit=1")).text);
const { account_id, campaign_id } = first.campaigns[0];
const one = `/campaigns/${encodeURIComponent(account_id)}/${encodeURIComponent(campaign_id)}`;

/** Name, what the page asks for, where it is, and what stands there once it is drawn. */
const PAGES = [
  ["portfolio", ["/overview", "/campaigns?sort=name&limit=50"], "#/", "tbody tr"],
  ["portfolio, by share", ["/campaigns?sort=share&order=desc&limit=50"], "#/?sort=share&order=desc", "tbody tr"],
  ["portfolio, searched", ["/campaigns?q=campaign-0999&limit=50"], "#/?q=campaign-0999", "tbody tr"],
  ["campaign", [one, `${one}/series?window=hour`, `${one}/breakdown`, `${one}/attribution`], `#${one.replace("campaigns", "campaign")}`, ".total-figure"],
  ["proposals", ["/proposals?state=proposed&limit=200"], "#/proposals", "article, .empty"],
  ["alerts", ["/alerts?state=open&limit=200"], "#/alerts", "tbody tr"],
  ["experiments", ["/experiments"], "#/experiments", "article, .empty"],
  ["data quality", ["/data-quality", "/dead-letters?limit=20"], "#/quality", "tbody tr"],
  ["halts", ["/halts"], "#/halts", "article, .empty"],
  ["audit", ["/audit?limit=100"], "#/audit", "tbody tr"],
];

const of = (list, part) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
await page.goto(`${address}/`);
await page.locator("tbody tr").first().waitFor();
console.log(`${first.total} campaigns, ${rounds} rounds; milliseconds, median and worst`);
console.log("| page | service | kB | browser, until drawn | longest block of the page |");
console.log("| --- | --- | --- | --- | --- |");
for (const [name, paths, hash, drawn] of PAGES) {
  const served = [];
  const shown = [];
  let bytes = 0;
  let blocked = 0;
  for (let round = 0; round < Number(rounds); round += 1) {
    const answers = [];
    for (const path of paths) answers.push(await api(path));
    served.push(answers.reduce((sum, answer) => sum + answer.took, 0));
    bytes = answers.reduce((sum, answer) => sum + answer.bytes, 0);
    const { took, longest } = await page.evaluate(open, [hash, drawn]);
    shown.push(took);
    blocked = Math.max(blocked, longest);
  }
  const figures = list => `${of(list, 0.5).toFixed(0)}, ${Math.max(...list).toFixed(0)}`;
  console.log(`| ${name} | ${figures(served)} | ${(bytes / 1000).toFixed(0)} | ${figures(shown)} | ${blocked.toFixed(0)} |`);
}
await browser.close();

/** In the page: leaves for nowhere, goes there, and waits for the frame that shows what was asked for. */
async function open([hash, drawn]) {
  let longest = 0;
  const watch = new PerformanceObserver(list => {
    for (const entry of list.getEntries()) longest = Math.max(longest, entry.duration);
  });
  watch.observe({ entryTypes: ["longtask"] });
  const frame = () => new Promise(done => requestAnimationFrame(done));
  location.hash = "#/nowhere";
  while (document.querySelector("main h1")?.textContent !== "Not found") await frame();
  const began = performance.now();
  location.hash = hash;
  while (document.querySelector("main .loading") || !document.querySelector(`main ${drawn.split(", ").join(", main ")}`)) await frame();
  await frame();
  const took = performance.now() - began;
  await new Promise(done => setTimeout(done, 400));
  watch.disconnect();
  return { took, longest };
}
