/**
 * Drives one browser client in a headless Chromium, on a page of another origin than ingest.
 *
 * Reads a scenario as the first line of standard input and makes its calls; the page stays open,
 * and the client goes on sending, until standard input ends.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const PACKAGES = new URL("node_modules/", import.meta.url);
const BUNDLES = {
  next: "@segment/analytics-next/dist/umd/index.js",
  "rud-js": "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js",
  jitsu: "@jitsu/js/dist/jitsu.es.js",
};

/** A page that has loaded the client, and nothing else. */
async function site(name) {
  const files = {
    "/client.js": new URL(BUNDLES[name], PACKAGES),
    "/values.js": new URL("values.js", import.meta.url),
    "/page.js": new URL("page.js", import.meta.url),
  };
  const load =
    name === "jitsu"
      ? `<script type="module">import * as all from "/client.js"; Object.assign(window, all);</script>`
      : `<script src="/client.js"></script>`;
  const html = `<!doctype html><title>T</title>${load}<script src="/values.js"></script><script src="/page.js"></script>`;
  const server = createServer(async (request, response) => {
    const file = files[request.url];
    response.setHeader("Content-Type", file ? "text/javascript" : "text/html; charset=utf-8");
    response.end(file ? await readFile(file) : html);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}/p?utm_source=x&utm_campaign=camp`;
}

const [, , name, executablePath] = process.argv;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const scenario = JSON.parse((await lines.next()).value);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage();
page.on("pageerror", (error) => console.log(JSON.stringify({ error: error.message })));
await page.goto(await site(name));
await page.evaluate(([name, scenario]) => drive(name, scenario), [name, scenario]);
console.log(JSON.stringify({ called: scenario.calls.length }));
await lines.next();
// The way people leave: clients send what they still hold.
await page.goto("about:blank");
await browser.close();
console.log(JSON.stringify({ dropped: [] }));
process.exit(0);
