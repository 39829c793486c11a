"A browser whose camera is a film: for the tests of the app, and for bench/app.py"
import shutil
import numpy as np

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


def write_y4m(file, pictures, rate):
    "A film as Chromium plays it in place of a camera, again and again: every pixel's brightness, every fourth's colour"
    width, height = pictures[0].size
    with open(file, 'wb') as out:
        out.write(f'YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420jpeg\n'.encode())
        for picture in pictures:
            y, cb, cr = (np.asarray(channel) for channel in picture.convert('YCbCr').split())
            out.write(b'FRAME\n' + y.tobytes() + cb[::2, ::2].tobytes() + cr[::2, ::2].tobytes())


def camera_arguments(film):
    "What Chromium has to be told to take a film for its camera, and to ask nobody"
    return ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
            f'--use-file-for-fake-video-capture={film}']


# Runs in the page before its own scripts: a person before the camera, who makes the sign that Teach or Practise ask
# for, or the one in `shows`. Between two signs, for eight readings, and where a sign has no picture, the hand is away.
PERSON = r'''
(() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 480, height: 360})
  const pen = canvas.getContext('2d'), images = {}
  let before, away = 0, turn = 0
  const frame = () => Number(document.querySelector('#panel [data-frame]')?.dataset.frame ?? 0)
  window.shows = null // a sign; null: the one that is asked for
  window.bring = pictures => Promise.all(Object.entries(pictures).map(async ([sign, urls]) => {
    images[sign] = urls.map(src => Object.assign(new Image(), {src}))
    await Promise.all(images[sign].map(image => image.decode()))
  }))
  const asked = () => [...document.querySelectorAll('.task[data-phase=asking] .asked')].find(one => one.offsetParent)
  function draw() {
    const signs = asked()?.querySelectorAll('span'), now = asked()?.querySelector('.now') ?? signs?.[0]
    const place = window.shows ?? [now?.textContent, [...signs ?? []].indexOf(now)].join()
    if (place != before) { before = place; away = frame() + 8 }
    const sign = window.shows ?? now?.textContent
    const shown = images[frame() < away && !window.shows ? 'nothing' : sign] ?? images.nothing
    const image = shown?.[Math.floor(turn++/3) % shown.length]
    pen.fillStyle = '#aaa'
    pen.fillRect(0, 0, 480, 360)
    if (image) pen.drawImage(image, 60 + turn % 3, 0, 360, 360)
  }
  setInterval(draw, 60)
  if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(15)
})()
'''
