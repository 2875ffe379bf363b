// The page in a real browser. tests/exporter_page.rs runs it, and does what it asks for: `do: SOMETHING` on
// standard output is answered with a line on standard input.
//
//   node page.mjs URL SCREENSHOTS
import { chromium } from "playwright-core";
import assert from "node:assert/strict";
import { createInterface } from "node:readline";

const [url, screenshots] = process.argv.slice(2);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function ask(what) {
  console.log(`do: ${what}`);
  assert.equal((await answers.next()).value, "done");
}

const tests = [];
const test = (name, body) => tests.push([name, body]);

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});

/** A tab that keeps what goes wrong in it. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.wrong = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) page.wrong.push(message.text());
  });
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) page.wrong.push(`loads ${request.url()}`);
  });
  await page.goto(url, { waitUntil: "load" });
  return page;
}

async function close(page) {
  assert.deepEqual(page.wrong, []);
  await page.context().close();
}

/** Waits for this text in an element. */
async function shows(page, selector, text) {
  await page.waitForFunction(
    ([selector, text]) => document.querySelector(selector)?.textContent.includes(text),
    [selector, text],
  );
}

const text = (page, selector) => page.locator(selector).innerText();
const shot = (page, name) => page.screenshot({ path: `${screenshots}/${name}.png` });

/** The contrast of each piece of text with what is behind it (WCAG 2.2, 1.4.3), the lowest first. */
const contrasts = (page) =>
  page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (colour) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      return canvas.getImageData(0, 0, 1, 1).data;
    };
    const luminance = (colour) => {
      const [r, g, b] = [...rgb(colour)].slice(0, 3).map((value) => {
        const part = value / 255;
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const colour = getComputedStyle(at).backgroundColor;
        if (rgb(colour)[3] > 0) return colour;
      }
      return "white";
    };
    const found = new Map();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
      const colours = [getComputedStyle(element).color, behind(element)];
      const [one, other] = colours.map(luminance);
      const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      found.set(colours.join(" on "), contrast);
    }
    return [...found].sort((one, other) => one[1] - other[1]);
  });

test("on a good day nothing is wrong, and everything is listed", async () => {
  const page = await open();
  await shows(page, "#trouble", "Nothing: every service is as configured.");
  assert.match(await text(page, "#summary"), /1 daemon, 2 services, 4 real servers: 0 down/);
  assert.equal(await page.locator("#all .service").count(), 2);
  assert.equal(await page.locator("#all tbody tr").count(), 4);
  assert.match(await text(page, "#all"), /fallback command: stop .* ago: /);
  await shot(page, "good-day");
  await close(page);
});

test("typing finds services, servers and states; the keyboard is enough", async () => {
  const page = await open();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "find");
  const visible = () => page.locator("#all .service:visible h3").allInnerTexts();
  await page.keyboard.type("127.0.0.13");
  assert.equal((await visible()).length, 1);
  assert.match((await visible())[0], /^tcp:10\.9\.0\.2:80/);
  assert.equal(await page.locator("#all tbody tr:visible").count(), 1);
  await page.fill("#find", "10.9.0.2 UP");
  assert.equal(await page.locator("#all tbody tr:visible").count(), 2);
  await page.fill("#find", "nothing like it");
  assert.deepEqual(await visible(), []);
  await page.fill("#find", "");
  assert.equal((await visible()).length, 2);
  await close(page);
});

test("a death and a return are shown without a reload", async () => {
  const page = await open();
  await page.evaluate(() => (window.same = true));
  await page.fill("#find", "tcp:10.9.0.1:80");
  await ask("kill 1");
  await shows(page, "#trouble", "1 of 2 up");
  await shows(page, "#service-0", "DOWN");
  await shows(page, "#trouble", "connection refused");
  assert.equal(await page.locator("#all .service:visible").count(), 1, "what is found stays");
  await ask("start 1");
  await shows(page, "#trouble", "Nothing: every service is as configured.");
  assert.equal(await page.evaluate(() => window.same), true);
  const strip = page.locator("#service-0 svg").first();
  assert.match(await strip.getAttribute("aria-label"), /^the last hour: now up, \d+ changes, /);
  assert.equal(await strip.locator("rect.down").count(), 1);
  await close(page);
});

test("what servers, configurations and operators say is text", async () => {
  const page = await open();
  await ask("hostile");
  for (const words of ["<script>document.hacked=1</script>", "<img src=x onerror=document.hacked=1>"]) {
    await shows(page, "#trouble", words);
  }
  await page.reload();
  assert.match(await text(page, "#trouble"), /<script>document\.hacked=1<\/script>/);
  assert.equal(await page.evaluate(() => document.hacked), undefined);
  assert.equal(await page.locator("main script, main img, main style, [onerror]").count(), 0);
  await close(page);
});

test("a bad day, light and dark, is readable", async () => {
  const page = await open();
  await ask("bad");
  await shows(page, "#trouble", "NO REAL SERVER is up, of 2");
  await shows(page, "#trouble", "FALLBACK 127.0.0.1:8009 is in service");
  await shows(page, "#trouble", "HOOK start FAILED");
  await shows(page, "#trouble", "RELOAD REFUSED");
  const first = await page.locator("#trouble h3").allInnerTexts();
  assert.match(first[1], /^tcp:10\.9\.0\.1:80/, "the worst service comes first");
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  for (const [scheme, colour] of [["light", "rgb(255, 255, 255)"], ["dark", "rgb(15, 18, 22)"]]) {
    await page.emulateMedia({ colorScheme: scheme });
    assert.equal(await background(), colour);
    const [colours, contrast] = (await contrasts(page))[0];
    assert.ok(contrast >= 4.5, `${scheme}: ${colours}: ${contrast.toFixed(2)}`);
    await shot(page, `bad-day-${scheme}`);
  }
  await close(page);
});

test("a telephone shows all of it, without scrolling sideways", async () => {
  const page = await open({ viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `${wide} pixels wide`);
  assert.ok(await page.locator("#trouble tbody tr").first().isVisible());
  await shot(page, "telephone");
  await close(page);
});

test("without JavaScript it is all there", async () => {
  const page = await open({ javaScriptEnabled: false });
  assert.match(await text(page, "#trouble"), /NO REAL SERVER is up, of 2/);
  assert.equal(await page.locator("#all .service").count(), 2);
  assert.equal(await page.locator("#find").isVisible(), false);
  assert.equal(await page.locator("noscript meta[http-equiv=refresh]").count(), 1);
  await close(page);
});

test("a screen reader hears tables with heads, strips in words and what changes", async () => {
  const page = await open();
  const snapshot = await page.locator("body").ariaSnapshot();
  for (const part of [
    'heading "What is wrong"', 'columnheader "Real server"', 'img "the last hour: now', 'searchbox "Find a service',
  ]) {
    assert.ok(snapshot.includes(part), `${part}\n${snapshot.slice(0, 3000)}`);
  }
  assert.equal(await page.locator("#trouble[aria-live=polite]").count(), 1);
  assert.equal(await page.locator("html[lang=en]").count(), 1);
  await close(page);
});

test("ten thousand servers scroll", async () => {
  const page = await open();
  await ask("crowd");
  await page.goto(url, { waitUntil: "load" });
  assert.match(await text(page, "#summary"), /10,?004 real servers|10004 real servers/);
  const frames = await page.evaluate(async () => {
    const gaps = [];
    let last = performance.now();
    const end = document.documentElement.scrollHeight - innerHeight;
    for (let step = 0; step <= 120; step += 1) {
      scrollTo(0, (end * step) / 120);
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      gaps.push(now - last);
      last = now;
    }
    return gaps.slice(1).sort((one, other) => one - other);
  });
  const [half, most] = [0.5, 0.95].map((part) => Math.round(frames[Math.floor(frames.length * part)]));
  console.log(`10,004 servers: a frame takes ${half} ms while scrolling, 95 of 100 at most ${most} ms`);
  const begun = await page.evaluate(() => performance.now());
  await page.fill("#find", "127.2.39.250");
  await page.waitForFunction(() => document.querySelectorAll("#all .service:not([hidden])").length === 1);
  const found = await page.evaluate(() => performance.now());
  console.log(`10,004 servers: found after ${Math.round(found - begun)} ms`);
  await close(page);
});

test("an exporter that is gone is said", async () => {
  const page = await open();
  await shows(page, "#live", "live");
  await ask("down");
  await shows(page, "#live", "trying again");
  page.wrong = page.wrong.filter((line) => !/ERR_|Failed to fetch/.test(line));
  await close(page);
});

let failed = 0;
for (const [name, body] of tests) {
  try {
    await body();
    console.log(`test ${name} ... ok`);
  } catch (error) {
    failed += 1;
    console.log(`test ${name} ... FAILED\n${error.stack}`);
  }
}
await browser.close();
console.log(`${tests.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
