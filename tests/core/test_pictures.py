"Anything that is handed over as a picture becomes the right one, or is refused in a sentence"
import io, os, subprocess, sys, warnings
from pathlib import Path
from zlib import crc32
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from PIL import ExifTags, Image
from asl_signs.datasets.drawing import portrait
from asl_signs.datasets.archives import pictures_in
from asl_signs.datasets.sets import unreadable
from asl_signs.core.pictures import MOST_PIXELS, PictureError, to_rgb
from asl_signs.datasets.sample import draw_sample

HAND = portrait('K', side=48)
PIXELS = np.asarray(HAND)
GREY = np.asarray(HAND.convert('L'))


def encoded(image, kind, **how):
    "The bytes of a file"
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def written(folder, name, content):
    "A file with this content"
    (folder/name).parent.mkdir(parents=True, exist_ok=True)
    (folder/name).write_bytes(content)
    return folder/name


def a_folder(folder, name):
    (folder/name).mkdir()
    return folder/name


def a_link(folder, name):
    (folder/name).symlink_to(folder/'gone.jpg')
    return folder/name


def a_pipe(folder, name):
    os.mkfifo(folder/name)
    return folder/name


def closed(image):
    image.close()
    return image


def eps(folder):
    return written(folder, 'K.eps', b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n')


def bomb(width, height):
    "A PNG of a hundred bytes that claims to be this large"
    raw = bytearray(encoded(Image.new('L', (1, 1)), 'png'))
    raw[16:24] = width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
    raw[29:33] = crc32(raw[12:29]).to_bytes(4, 'big')
    return bytes(raw)


JPEG, PNG = encoded(HAND, 'jpeg'), encoded(HAND, 'png')
MANY = [HAND, HAND.rotate(90), HAND.rotate(180)]
REFUSED = { # what is handed over -> how, and words of the message
    'a file of no bytes': (lambda d: written(d, 'K.jpg', b''), 'K.jpg', 'empty'),
    'no bytes at all': (lambda d: b'', 'This picture', 'empty'),
    'a JPEG cut off in its pixels': (lambda d: written(d, 'K.jpg', JPEG[:-300]), 'K.jpg', 'cut off'),
    'a JPEG cut off in its header': (lambda d: written(d, 'K.jpg', JPEG[:30]), 'K.jpg', 'cut off'),
    'a PNG cut off': (lambda d: written(d, 'K.png', PNG[:-300]), 'K.png', 'cut off'),
    'a PNG with a flipped byte': (lambda d: PNG[:60] + bytes([PNG[60] ^ 255]) + PNG[61:], 'This picture', 'damaged'),
    'a GIF cut off': (lambda d: encoded(HAND, 'gif')[:-200], 'This picture', 'damaged or cut off'),
    'text named .jpg': (lambda d: written(d, 'K.jpg', b'<html>Sign in</html>'), 'K.jpg', 'JPEG or PNG'),
    'a program that draws': (eps, 'K.eps', 'PostScript'),
    'a folder named like a picture': (lambda d: a_folder(d, 'hands.jpg'), 'hands.jpg', 'no file'),
    'a link that leads nowhere': (lambda d: a_link(d, 'K.jpg'), 'K.jpg', 'does not exist'),
    'a pipe': (lambda d: a_pipe(d, 'K.jpg'), 'K.jpg', 'no file'),
    'a path that leads nowhere': (lambda d: d/'gone.jpg', 'gone.jpg', 'spelling'),
    'a path with a zero in it': (lambda d: 'K\0.jpg', 'K', 'does not exist'),
    'an address': (lambda d: 'https://example.com/K.jpg', 'https:', 'does not exist'),
    'a bomb that Pillow refuses': (
        lambda d: written(d, 'K.png', bomb(60_000, 60_000)), 'K.png', f'{MOST_PIXELS:,} pixels'),
    'a bomb that Pillow lets pass': (
        lambda d: bomb(9000, 9000), 'This picture', f'81,000,000 .* {MOST_PIXELS:,} pixels'),
    'an enormous array': (lambda d: np.broadcast_to(np.uint8(0), (10_000, 10_000)), 'The array', f'{MOST_PIXELS:,}'),
    'an image of no pixels': (lambda d: Image.new('RGB', (0, 5)), 'This picture', 'no pixels'),
    'an image that was closed': (lambda d: closed(Image.open(io.BytesIO(PNG))), 'This picture', 'damaged'),
    'NaN': (lambda d: np.full((4, 4), np.nan), 'The array', 'nan'),
    'one infinite value': (lambda d: np.where(np.eye(4), np.inf, 0), 'The array', 'inf'),
    'floats that go neither to 1 nor to 255': (
        lambda d: PIXELS/100, 'The array', 'values from .* to .*0 to 1 is needed'),
    'floats above 255': (lambda d: np.float32(PIXELS)*2, 'The array', '0 to 255 is needed'),
    'floats of a TIFF that go to 3': (
        lambda d: encoded(Image.fromarray(np.float32(GREY/80)), 'tiff'), 'This picture', '0 to 1 is needed'),
    '32 bits below 0': (
        lambda d: encoded(Image.fromarray(np.int32(GREY) - 100), 'tiff'), 'This picture', 'values from -'),
    '32 bits that need more than 16': (
        lambda d: encoded(Image.fromarray(np.int32(GREY)*1000), 'tiff'), 'This picture', '0 to 65535 is needed'),
    'floats below 0': (lambda d: PIXELS/127.5 - 1, 'The array', 'values from -'),
    'integers above 255': (lambda d: np.int64(PIXELS)*2, 'The array', '0 to 255'),
    'integers below 0': (lambda d: np.int8(PIXELS//2) - 100, 'The array', '0 to 255'),
    'truth values': (lambda d: PIXELS > 100, 'The array', 'bool'),
    'Python objects': (lambda d: PIXELS.astype(object), 'The array', 'object'),
    'complex numbers': (lambda d: PIXELS*1j, 'The array', 'complex'),
    'strings in an array': (lambda d: np.array([['K.jpg']]), 'The array', 'brightness'),
    'colours first': (
        lambda d: PIXELS.transpose(2, 0, 1), r'The array of shape \(3, 48, 48\)', r'transpose\(1, 2, 0\)'),
    'a stack of pictures': (lambda d: PIXELS[None], 'The array', 'one picture at a time'),
    'a single row': (lambda d: PIXELS[0, :, 0], 'The array', 'one picture at a time'),
    'two channels': (lambda d: PIXELS[..., :2], 'The array', '1, 3 or 4'),
    'an array of no rows': (lambda d: PIXELS[:0], 'The array', 'no pixels'),
    'nothing': (lambda d: None, 'This picture', 'NoneType'),
    'a list': (lambda d: PIXELS.tolist(), 'This picture', 'list'),
    'a file opened for text': (lambda d: io.StringIO('K'), 'This picture', ''),
}


@pytest.mark.parametrize('given, name, words', REFUSED.values(), ids=REFUSED)
def test_is_refused_in_a_sentence(given, name, words, tmp_path):
    with pytest.raises(PictureError, match=f'(?s){name}.*{words}') as error, warnings.catch_warnings():
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        to_rgb(given(tmp_path))
    assert str(error.value).endswith('.') and '\n' not in str(error.value)


def turned(orientation):
    "A JPEG whose pixels have to be turned, as cameras write them"
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # inverse of what EXIF asks for
    image = HAND if back is None else HAND.transpose(Image.Transpose(back))
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return encoded(image, 'png', exif=image.getexif())


def transparent(mode, **how):
    "The hand with its background, of grey 200, made transparent over black"
    see = Image.fromarray(np.uint8(255*(PIXELS != 200).any(-1)))
    image = Image.composite(HAND, Image.new('RGB', HAND.size), see).convert('RGBA')
    image.putalpha(see)
    return image.convert(mode, **how)


ON_WHITE = np.where((PIXELS != 200).any(-1, keepdims=True), PIXELS, 255)
STACKED = np.repeat(GREY[..., None], 3, -1)
RIGHT = { # what is handed over -> how, what comes back, and how far it may be off
    'a name with spaces and other letters': (lambda d: written(d, 'Hände 手 (1).png', PNG), PIXELS, 0),
    'an upper-case ending': (lambda d: written(d, 'K.PNG', PNG), PIXELS, 0),
    'a PNG named .jpg': (lambda d: written(d, 'K.jpg', PNG), PIXELS, 0),
    'a path as a string': (lambda d: str(written(d, 'K.png', PNG)), PIXELS, 0),
    'bytes': (lambda d: PNG, PIXELS, 0),
    'a memoryview': (lambda d: memoryview(PNG), PIXELS, 0),
    'an open file read before': (lambda d: (f := io.BytesIO(PNG)).read() and f, PIXELS, 0),
    'an animated GIF': (lambda d: encoded(MANY[0], 'gif', save_all=True, append_images=MANY[1:]), PIXELS, 12),
    'an animated WebP': (
        lambda d: encoded(MANY[0], 'webp', save_all=True, append_images=MANY[1:], lossless=True), PIXELS, 0),
    'an animated PNG': (lambda d: encoded(MANY[0], 'png', save_all=True, append_images=MANY[1:]), PIXELS, 0),
    'a TIFF of three pages': (lambda d: encoded(MANY[0], 'tiff', save_all=True, append_images=MANY[1:]), PIXELS, 0),
    'a CMYK TIFF': (lambda d: encoded(HAND.convert('CMYK'), 'tiff'), PIXELS, 0),
    'a CMYK JPEG': (lambda d: encoded(HAND.convert('CMYK'), 'jpeg', quality=100), PIXELS, 30),
    'grey': (lambda d: encoded(HAND.convert('L'), 'png'), STACKED, 0),
    'black and white': (lambda d: Image.fromarray(GREY > 150), np.where(STACKED > 150, 255, 0), 0),
    'YCbCr': (lambda d: HAND.convert('YCbCr'), PIXELS, 3),
    '16 bits in a PNG': (lambda d: encoded(Image.fromarray(np.uint16(GREY)*257), 'png'), STACKED, 0),
    '16 bits in a big-endian TIFF': (
        lambda d: Image.frombytes('I;16B', HAND.size, (np.uint16(GREY)*257).astype('>u2').tobytes()), STACKED, 0),
    '16 bits in a PGM': (lambda d: encoded(Image.fromarray(np.uint16(GREY)*257), 'ppm'), STACKED, 0),
    '8 bits in 32 of a TIFF': (lambda d: encoded(Image.fromarray(np.int32(GREY)), 'tiff'), STACKED, 0),
    '12 bits in 32 of a TIFF': (
        lambda d: encoded(Image.fromarray(np.int32(np.rint(GREY*(4095/255)))), 'tiff'), STACKED, 0),
    '16 bits in 32 of a TIFF': (lambda d: encoded(Image.fromarray(np.int32(GREY)*257), 'tiff'), STACKED, 0),
    '8 bits in 16 of a PNG': (lambda d: encoded(Image.fromarray(np.uint16(GREY)), 'png'), STACKED, 0),
    '8 bits in 16 of a big-endian TIFF': (
        lambda d: Image.frombytes('I;16B', HAND.size, GREY.astype('>u2').tobytes()), STACKED, 0),
    '12 bits in 16 of a TIFF': (
        lambda d: encoded(Image.fromarray(np.uint16(np.rint(GREY*(4095/255)))), 'tiff'), STACKED, 0),
    'floats from 0 to 255 in a TIFF': (lambda d: encoded(Image.fromarray(np.float32(GREY)), 'tiff'), STACKED, 0),
    'floats from 0 to 255': (lambda d: np.float32(PIXELS), PIXELS, 0),
    'uint16 of 8 bits': (lambda d: np.uint16(PIXELS), PIXELS, 0),
    'uint16 of 12 bits': (lambda d: np.uint16(np.rint(PIXELS*(4095/255))), PIXELS, 0),
    'a black picture of 16 bits': (lambda d: np.zeros((4, 5), np.uint16), np.zeros((4, 5, 3)), 0),
    'floats in a TIFF': (lambda d: encoded(Image.fromarray(np.float32(GREY/255)), 'tiff'), STACKED, 0),
    'RGBA': (lambda d: encoded(transparent('RGBA'), 'png'), ON_WHITE, 0),
    'premultiplied RGBA': (lambda d: transparent('RGBa'), ON_WHITE, 0),
    'grey and alpha': (
        lambda d: encoded(transparent('LA'), 'png'), np.where(ON_WHITE.min(-1, keepdims=True) == 255, 255, STACKED), 0),
    'a palette with a transparent colour': (lambda d: encoded(transparent('RGBA').quantize(64), 'png'), ON_WHITE, 30),
    'a transparent GIF': (lambda d: encoded(transparent('RGBA'), 'gif'), ON_WHITE, 30),
    'one transparent colour in RGB': (lambda d: encoded(HAND, 'png', transparency=(200, 200, 200)), ON_WHITE, 0),
    'one pixel': (lambda d: encoded(HAND.crop((0, 0, 1, 1)), 'png'), PIXELS[:1, :1], 0),
    'floats from 0 to 1': (lambda d: PIXELS/255, PIXELS, 0),
    'floats just above 1': (lambda d: np.full((2, 2, 3), np.float32(1.0000001)), np.full((2, 2, 3), 255), 0),
    'half precision': (lambda d: np.float16(PIXELS/255), PIXELS, 0),
    'uint16': (lambda d: np.uint16(PIXELS)*257, PIXELS, 0),
    'int64 that fits': (lambda d: np.int64(PIXELS), PIXELS, 0),
    'a transposed array': (lambda d: PIXELS.transpose(1, 0, 2), PIXELS.transpose(1, 0, 2), 0),
    'an array mirrored by its strides': (lambda d: PIXELS[:, ::-1], PIXELS[:, ::-1], 0),
    'an array nobody may write': (
        lambda d: np.broadcast_to(np.uint8([1, 2, 3]), (4, 5, 3)), np.broadcast_to([1, 2, 3], (4, 5, 3)), 0),
    **{f'EXIF orientation {n}': (lambda d, n=n: turned(n), PIXELS, 0) for n in range(1, 9)},
}


@pytest.mark.parametrize('given, expected, off', RIGHT.values(), ids=RIGHT)
def test_is_read_right(given, expected, off, tmp_path):
    result = to_rgb(given(tmp_path))
    assert type(result) is Image.Image and (result.mode, result.info) == ('RGB', {})
    assert np.asarray(result).shape == expected.shape
    assert np.abs(np.int64(result) - expected).max() <= off


@pytest.mark.parametrize('name', ['.K.png', '._K.png', '__MACOSX/A/K.png', 'hands.jpg/notes.txt'])
def test_hidden_files_and_folders_named_like_pictures_are_not_looked_for(name, tmp_path):
    written(tmp_path, name, b'not a picture')
    picture = written(tmp_path, 'A/K.png', PNG)
    assert pictures_in(tmp_path) == [picture]


@pytest.mark.skipif(os.name != 'posix' or os.geteuid() == 0, reason='whoever is root may read everything')
def test_a_file_nobody_may_read(tmp_path):
    written(tmp_path, 'K.png', PNG).chmod(0)
    with pytest.raises(PictureError, match='K.png may not be read'): to_rgb(tmp_path/'K.png')


def test_a_file_the_system_does_not_give(tmp_path, monkeypatch):
    def denied(*args): raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr(Image, 'open', denied)
    file = written(tmp_path, 'K.png', PNG)
    with pytest.raises(PictureError, match='K.png may not be read by this user. Change'): to_rgb(file)


@pytest.mark.parametrize('limit', [None, 100, 10**9], ids=['off', 'lower', 'higher'])
def test_the_limit_holds_whatever_pillows_is(limit, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', limit)
    with pytest.raises(PictureError, match=f'{MOST_PIXELS:,} pixels'): to_rgb(bomb(9000, 9000))
    assert Image.MAX_IMAGE_PIXELS == limit


@pytest.mark.parametrize('given', ['K.png', PNG, HAND], ids=['a path', 'bytes', 'an image'])
def test_only_arrays_have_blue_first(given):
    with pytest.raises(PictureError, match='OpenCV'): to_rgb(given, colours='BGR')


@pytest.mark.parametrize('colours', ['bgr', 'RBG', '', None])
def test_an_order_of_colours_that_there_is_none_of(colours):
    with pytest.raises(PictureError, match="'RGB', or 'BGR'"): to_rgb(PIXELS, colours=colours)


@pytest.mark.filterwarnings('ignore:Corrupt EXIF data')
def test_a_broken_exif_block_neither_stops_nor_hides_the_orientation():
    lying = HAND.transpose(Image.Transpose.ROTATE_90)
    exif = lying.getexif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = 6, 'camera'
    raw = bytearray(encoded(lying, 'png', exif=exif))
    lying = Image.open(io.BytesIO(raw))
    lying.getexif()[ExifTags.Base.XResolution] = 'not a number'  # cannot be written again
    assert np.array_equal(to_rgb(lying), PIXELS)
    lying = HAND.copy()
    lying.info['exif'] = b'Exif\0\0MM\0*\0\0\0\xff'
    assert np.array_equal(to_rgb(lying), PIXELS)


@pytest.mark.parametrize('orientation', [0, 9, 70_000, 'sideways', (6, 6), 6.5])
def test_an_orientation_that_means_nothing_leaves_the_pixels_as_they_are(orientation):
    picture = HAND.copy()
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    assert np.array_equal(to_rgb(picture), PIXELS)


def test_what_was_handed_over_stays_as_it_was(tmp_path):
    array = PIXELS.copy()
    result = to_rgb(array)
    array[:] = 0
    assert np.array_equal(result, PIXELS)
    with open(written(tmp_path, 'K.png', turned(6)), 'rb') as file:
        image = Image.open(file)
        assert np.array_equal(to_rgb(image), to_rgb(image)) and image.getexif()[ExifTags.Base.Orientation] == 6
        assert np.array_equal(to_rgb(file), PIXELS) and not file.closed


def test_files_are_closed(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter('error', ResourceWarning)
        to_rgb(written(tmp_path, 'K.png', PNG))
        with pytest.raises(PictureError): to_rgb(written(tmp_path, 'cut.png', PNG[:-300]))
    if Path('/proc/self/fd').exists():
        assert not [fd for fd in Path('/proc/self/fd').iterdir() if str(tmp_path) in os.path.realpath(fd)]


pixels = arrays(np.uint8, st.tuples(st.integers(1, 64), st.integers(1, 64), st.just(3)))


@given(pixels)
def test_pixels_come_back_as_they_were(array):
    assert np.array_equal(to_rgb(array), array)
    assert np.array_equal(to_rgb(array[..., ::-1], 'BGR'), array)
    assert np.array_equal(to_rgb(encoded(Image.fromarray(array), 'png')), array)
    assert np.array_equal(to_rgb(to_rgb(array)), array)


@given(arrays(np.uint8, st.tuples(*[st.integers(1, 16)]*2, st.sampled_from([1, 3, 4]))),
       st.sampled_from(['RGB', 'BGR']))
def test_numbers_of_any_type_give_the_same_picture(array, colours):
    same = [array.astype(kind) for kind in (np.int16, np.uint16, np.uint32, np.int64)]
    same += [array/255, np.float32(array)/255]
    if array.max() >= 16: same += [np.uint16(array)*257]  # as dark as that, it is taken for 12 bits
    if array.max() >= 8: same += [np.float32(array)]
    for other in same: assert np.array_equal(to_rgb(other, colours), to_rgb(array, colours))


@given(st.binary(max_size=200), st.integers(0, len(JPEG)), st.sampled_from([JPEG, PNG]))
def test_noise_is_refused_or_read_and_never_worse(noise, at, file):
    try: assert to_rgb(file[:at] + noise + file[at+len(noise):]).mode == 'RGB'
    except PictureError: pass


@pytest.mark.parametrize('case', [
    'a file of no bytes', 'a JPEG cut off in its pixels', 'text named .jpg', 'a link that leads nowhere'])
def test_is_refused_before_training_in_the_same_words(case, tmp_path):
    given, name, words = REFUSED[case]
    file = given(tmp_path)
    with pytest.raises(PictureError) as error: to_rgb(file)
    assert unreadable(file) == str(error.value) and words in str(error.value)
    assert unreadable(written(tmp_path, 'whole.jpg', JPEG)) is None


@pytest.mark.parametrize('name', RIGHT)
def test_fastai_opens_it_alike(name, tmp_path):
    from asl_signs.data import Picture
    given = RIGHT[name][0]
    assert np.array_equal(Picture.create(given(tmp_path)), to_rgb(given(tmp_path)))


def test_jpegs_are_what_fastai_sees(tmp_path):
    from fastai.vision.core import PILImage
    for number, quality in enumerate((30, 75, 95)):
        file = written(tmp_path, f'{number}.jpg', encoded(HAND, 'jpeg', quality=quality))
        assert np.array_equal(to_rgb(file), PILImage.create(file))
        assert np.array_equal(to_rgb(PILImage.create(file)), PILImage.create(file))


def test_training_and_evaluation_see_the_same_picture(tmp_path):
    from asl_signs.data import get_data, get_dls
    from asl_signs.robust import get_merged_dls
    from asl_signs.core.settings import get_settings
    data = get_data(draw_sample(tmp_path/'drawn', frames=8, pictures=1, side=32))
    for file in (frame := data.train[0], photograph := data.second_test[0]):
        lying = Image.open(file).transpose(Image.Transpose.ROTATE_90)
        exif = lying.getexif()
        exif[ExifTags.Base.Orientation] = 6
        lying.save(file, exif=exif)
    settings = get_settings(data, bs=4)
    dls, merged = get_dls(data, settings), get_merged_dls(data, settings)
    sides = dls.train_ds, dls.valid_ds, merged.train_ds, merged.valid_ds
    seen = {file: ds[i][0] for ds in sides for i, file in enumerate(ds.items) if file in (frame, photograph)}
    seen['tested'] = dls.test_dl([photograph]).dataset[0][0]
    for file, picture in seen.items():
        assert np.array_equal(picture, to_rgb(photograph if file == 'tested' else file)), file
    assert {frame, photograph} < seen.keys()


def test_neither_torch_nor_fastai_is_loaded():
    script = "import sys, asl_signs.core.pictures; sys.exit(' '.join({'torch', 'fastai'} & {*sys.modules}) or 0)"
    subprocess.run([sys.executable, '-c', script], check=True)
