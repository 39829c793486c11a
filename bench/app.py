"""How many readings a second the app gives, end to end, and how old they are: python bench/app.py

Chromium opens the app with a film in place of a camera, as the tests do: taken by the browser, sent, read, shown. The page
itself counts readings, and the time from each frame's sending to its showing. Browser and server share this machine.
Prints JSON. Wants `asl_signs[app]`, playwright, and Debian's chromium."""
import argparse, json, os, platform, statistics, sys, time
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
import numpy as np
from PIL import ImageOps
from playwright.sync_api import sync_playwright
from asl_signs.app import launch, stream_reader
from asl_signs.datasets.drawing import portrait
from asl_signs.core.pictures import to_rgb
from asl_signs.runtime.reader import pictures_below

sys.path.insert(0, str(Path(__file__).resolve().parent.parent/'tests'))
from camera import CHROMIUM, camera_arguments, write_y4m

# Runs in the page before its own scripts: when were frames sent, and when was the reading of each shown?
WATCH = r'''
window.sent = []; window.shown = []
const asked = window.fetch
window.fetch = (to, how) => { if (/\/stream\/\w+$|\/queue\/join/.test(to)) sent.push(performance.now()); return asked(to, how) }
let last
new MutationObserver(() => {
  const frame = document.querySelector('#panel [data-frame]')?.dataset.frame
  if (frame && frame != last) { last = frame; shown.push(performance.now()) }
}).observe(document, {subtree: true, childList: true, attributes: true})
'''


class Nothing:
    "A reader that takes no time: what remains is the app's own"
    def read(self, picture, colours='RGB'):
        width, height = picture.size
        return SimpleNamespace(sign='A', best='A', confidence=.9, top=[('A', .9), ('S', .06), ('T', .04)], box=(0, 0, width/2, height/2), ms=0.)


def shown_to_the_camera(folder, most=24):
    "480 by 360 pixels, from a folder of pictures; without one, drawn"
    if not folder: return [ImageOps.pad(portrait(sign, side=360), (480, 360), color=(200, 200, 200)) for sign in 'ABCHIKLOVY']
    files = pictures_below(folder)
    return [ImageOps.pad(to_rgb(file), (480, 360)) for file in files[::max(1, len(files)//most)][:most]]


def measured(reader, film, seconds, clients):
    "Readings a second of each client, and the age of a reading when it is shown"
    with redirect_stdout(sys.stderr): app = launch(reader=reader, block=False)
    fake = ['--no-sandbox', *camera_arguments(film)]
    try:
        with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=fake) as browser:
            pages = [browser.new_context().new_page() for _ in range(clients)]
            for page in pages:
                page.add_init_script(WATCH)
                page.goto(app.local_url)
                page.wait_for_selector('#said[role=status]')
                page.get_by_title('grant webcam access').get_by_role('button').click()
            for page in pages: page.wait_for_selector('#panel [data-frame]')
            pages[0].wait_for_timeout(2000) # until everything is warm
            before, start = [page.evaluate('shown.length') for page in pages], time.perf_counter()
            pages[0].wait_for_timeout(1000*seconds)
            counts, took = [page.evaluate('shown.length') - n for page, n in zip(pages, before)], time.perf_counter() - start
            ages = [shown - sent for page in pages for sent, shown in zip(page.evaluate('sent'), page.evaluate('shown'))]
    finally: app.close(verbose=False)
    return dict(readings_per_second=[round(n/took, 1) for n in counts], age_ms=dict(median=round(statistics.median(ages)), p95=round(float(np.quantile(ages, .95)))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(':')[0])
    parser.add_argument('--pictures', help='a folder of photographs to be shown to the camera (drawn hands without it)')
    parser.add_argument('--bundle', help='a reader of your own')
    parser.add_argument('--readers', nargs='+', default=['hands', 'no hands', 'nothing'], choices=['hands', 'no hands', 'nothing'], help='nothing: a reader that takes no time')
    parser.add_argument('--seconds', type=int, default=20)
    parser.add_argument('--clients', type=int, nargs='+', default=[1, 3], help='how many pages at once')
    args = parser.parse_args()
    readers = {'hands': lambda: stream_reader(args.bundle, True), 'no hands': lambda: stream_reader(args.bundle, False), 'nothing': Nothing}
    found, ready = [], {name: readers[name]() for name in args.readers} # what is missing is said before anything is measured
    with TemporaryDirectory() as folder:
        write_y4m(film := Path(folder)/'film.y4m', [picture for picture in shown_to_the_camera(args.pictures) for _ in range(15)], 30)
        for name in args.readers:
            for clients in args.clients: found.append(dict(reader=name, clients=clients, **measured(ready[name], film, args.seconds, clients)))
    versions = {'python': platform.python_version(), **{name: version(name) for name in ('asl_signs', 'gradio', 'playwright', 'onnxruntime')}}
    print(json.dumps(dict(measured=found, pictures=args.pictures or 'drawn', cores=os.cpu_count(), date=time.strftime('%Y-%m-%d'), versions=versions), indent=1))


if __name__ == '__main__': main()
