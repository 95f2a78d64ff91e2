/**
 * Drives one browser client in a headless Chromium, on a page of another origin than ingest.
 *
 * Reads a scenario as the first line of standard input and makes its calls, or opens a page that
 * makes its own; it stays open, and the client goes on sending, until standard input ends.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const BUNDLES = {
  next: "@segment/analytics-next/dist/umd/index.js",
  "rud-js": "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js",
  jitsu: "@jitsu/js/dist/jitsu.es.js",
};

/** A page that has loaded the client, and nothing else. */
function blank(name) {
  const bundle = `/node_modules/${BUNDLES[name]}`;
  const load =
    name === "jitsu"
      ? `<script type="module">import * as all from "${bundle}"; Object.assign(window, all);</script>`
      : `<script src="${bundle}"></script>`;
  return `<!doctype html><title>T</title>${load}<script src="/values.js"></script><script src="/page.js"></script>`;
}

/** Serves one page, and the files beside this program as its scripts. */
async function site(html) {
  const server = createServer(async ({ url }, response) => {
    const isScript = /^[/]([a-z]+[.]js$|node_modules[/])/.test(url);
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html; charset=utf-8");
    response.end(isScript ? await readFile(new URL(`.${url}`, import.meta.url)) : html);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}/p?utm_source=x&utm_campaign=camp`;
}

const [, , name, executablePath] = process.argv;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const scenario = JSON.parse((await lines.next()).value);
const left = lines.next();
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage();
page.on("pageerror", (error) => console.error(error.message));
page.on("console", (message) => console.error(message.text()));
await page.goto(await site(scenario.html ?? blank(name)));
if (!scenario.html) {
  await Promise.race([page.evaluate((given) => drive(...given), [name, scenario]), left]);
}
console.log(JSON.stringify({ called: scenario.calls?.length ?? 1 }));
await left;
// The way people leave: clients send what they still hold.
await page.goto("about:blank");
await browser.close();
console.log(JSON.stringify({ dropped: [] }));
process.exit(0);
