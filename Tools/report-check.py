#!/usr/bin/env python3
"""Looks at a run's live page and its report as people do, in headless Chromium: phone and desktop width, light and dark.

    pip install playwright; apt-get install chromium
    Tools/report-check.py .build/release/ti-gpu SCREENSHOTS

Trains the demo with --serve and looks at the live page, presses its buttons, holds a page of another origin against it, then looks at
report.html and at a comparison. Fails on an error in the console, a request that leaves, a page wider than its window, text too faint to
read (WCAG 2's 4.5 to 1), a picture without alternative text, an action that does nothing. The screenshots are for a person's own eyes.
"""
from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

WIDTHS = {"small": 360, "phone": 390, "desktop": 1280}
SCHEMES = ["light", "dark"]

# Every text's contrast with what lies behind it, the lowest first.
CONTRAST = """() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; })
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest('script, style') || element.closest(':disabled')) continue;
    const style = getComputedStyle(element);
    const ink = light(parse(element.closest('svg') ? style.fill : style.color)), paper = light(behind(element));
    found.push([(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), walker.currentNode.data.trim().slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0])[0];
}"""


def look(page: Page, name: str, folder: Path) -> None:
    """Holds a page that is open against what every page must be, and takes its picture."""
    wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1], f"{name}: {wide[0]} pixels wide in a window of {wide[1]}"
    contrast, text = page.evaluate(CONTRAST)
    assert contrast >= 4.5, f"{name}: contrast {contrast:.2f} of '{text}'"
    bare = page.evaluate("[...document.images].filter(i => !i.alt || !i.complete || !i.naturalWidth).length")
    assert bare == 0, f"{name}: {bare} pictures without text, or not loaded"
    page.screenshot(path=str(folder / f"{name}.png"), full_page=True)
    print(f"{name}: contrast {contrast:.1f} at the least, {wide[0]} pixels of {wide[1]}")


def each(browser, url: str, name: str, folder: Path, ready: str, errors: list[str], allowed: str) -> None:
    for size, width in WIDTHS.items():
        for scheme in SCHEMES:
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page = context.new_page()
            watch(page, errors, allowed)
            page.goto(url)
            page.wait_for_selector(ready)
            look(page, f"{name}-{size}-{scheme}", folder)
            context.close()


def watch(page: Page, errors: list[str], allowed: str) -> None:
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith((allowed, "data:")) else errors.append(request.url))


def main(program: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp())
    errors: list[str] = []

    def command(run: str, *more: str) -> list[str]:
        return [program, "train", "--model", "demo", "--images", "demo:my-cat", "--token", "<my-cat>", "--initializer", "cat",
                "--kind", "subject", "--output", str(work / run), "--device", "cpu", "--preview-prompt", "a photo of {} on a green background",
                "--preview-prompt", "a photo of a {}", *more]

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        log = open(work / "log", "w+")
        run = subprocess.Popen(command("live", "--serve", "0", "--preview-every", "20", "--tensorboard"), stderr=log, stdout=log)
        url = None
        while url is None and run.poll() is None:
            time.sleep(0.2)
            url = re.search(r"The run is at (\S+)", (work / "log").read_text())
        url = url.group(1)
        each(browser, url, "live", folder, "img[src*=previews]", errors, url)

        # Another origin in the same browser: it can neither read nor do anything.
        class Elsewhere(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()

            def log_message(self, *_):
                pass

        other = http.server.HTTPServer(("127.0.0.1", 0), Elsewhere)
        threading.Thread(target=other.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://localhost:{other.server_port}")
        for attempt in [
            "fetch(URL).then(() => 'read', () => 'refused')",
            "fetch(URL + '/stop', {method: 'POST', headers: {'X-Token': 'x'}}).then(() => 'done', () => 'refused')",
            "fetch(URL + '/stop', {method: 'POST', mode: 'no-cors'}).then(r => r.type === 'opaque' ? 'refused' : 'done', () => 'refused')",
        ]:
            assert page.evaluate(attempt.replace("URL", f"'{url}'")) == "refused", attempt
        page.close()
        time.sleep(1)
        assert run.poll() is None, "another origin stopped the run"
        print("another origin is refused")

        page = browser.new_page()
        watch(page, errors, url)
        page.goto(url)
        page.click("button[data-action=checkpoint]")
        page.wait_for_selector("#live:has-text('checkpoint')")
        deadline = time.time() + 30
        while not list((work / "live" / "checkpoints").glob("step-*.safetensors")) and time.time() < deadline:
            time.sleep(0.2)
        assert list((work / "live" / "checkpoints").glob("step-*.safetensors")), "no checkpoint"
        before = len(list((work / "live" / "previews").glob("*.png")))
        page.click("button[data-action=preview]")
        deadline = time.time() + 60
        while len(list((work / "live" / "previews").glob("*.png"))) <= before and time.time() < deadline:
            time.sleep(0.2)
        assert len(list((work / "live" / "previews").glob("*.png"))) > before, "no preview"
        page.click("button[data-action=stop]")
        page.wait_for_selector("#live:has-text('has ended')", timeout=60000)
        page.wait_for_selector(".state:has-text('Stopped')", timeout=60000)
        time.sleep(2.5)
        assert page.evaluate("[...document.querySelectorAll('button')].every(b => b.disabled)"), "a button is left"
        look(page, "live-ended", folder)
        assert run.wait(60) == 130, run.returncode
        print("checkpoint, preview and stop work")

        subprocess.run(command("other", "--quick", "--seed", "3", "--preview-every", "30"), check=True, stdout=log, stderr=log)
        subprocess.run([program, "report", str(work / "live"), str(work / "other"), "--output", str(work / "comparison.html")], check=True)
        for name, file in [("report", work / "other" / "report.html"), ("comparison", work / "comparison.html")]:
            each(browser, file.as_uri(), name, folder, "main", errors, "file:")
        browser.close()
    assert not errors, errors
    print(f"no error in the console; screenshots in {folder}, runs in {work}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
