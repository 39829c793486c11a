"A browser whose camera is a film: for the tests of the app, and for bench/app.py"
import shutil
import numpy as np

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


def write_y4m(file, pictures, rate):
    "A film as Chromium's stand-in for a camera plays it, over and over: brightness of every pixel, colours of every fourth"
    width, height = pictures[0].size
    with open(file, 'wb') as out:
        out.write(f'YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420jpeg\n'.encode())
        for picture in pictures:
            y, cb, cr = (np.asarray(channel) for channel in picture.convert('YCbCr').split())
            out.write(b'FRAME\n' + y.tobytes() + cb[::2, ::2].tobytes() + cr[::2, ::2].tobytes())


def camera_arguments(film):
    "What Chromium has to be told to take a film for its camera, and to ask nobody"
    return ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', f'--use-file-for-fake-video-capture={film}']
