"""Boxes of key frames: letterboxing and its way back, suppression, boxes of a file."""

import numpy as np
import pytest

from vipnas_cli.errors import UsageError
from vipnas_cli.inference.people import DetectorSource, GivenBoxesSource
from vipnas_cli.pose.letterbox import Fit, Letterbox


class BrightDetector:
    """Finds the bounding box of all pixels above 200, in cells of 8 pixels."""

    letterbox = Letterbox(320)
    threshold = 0.5
    verifier = None

    def detect(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.nonzero(picture[:, :, 0] > 200)
        cells = picture.shape[0] // 8, picture.shape[1] // 8
        scores, boxes = np.zeros(cells, np.float32), np.zeros((*cells, 4), np.float32)
        if len(rows):
            found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
            middle = ((found[:2] + found[2:]) / 16).astype(int)
            scores[middle[1], middle[0]], boxes[middle[1], middle[0]] = 0.9, found
        return scores, boxes


@pytest.mark.parametrize("fit", ["corner", "centre", "stretch"])
@pytest.mark.parametrize("size", [(720, 1280), (960, 544), (97, 331)])
def test_boxes_come_back_from_pictures_of_one_size(size: tuple[int, int], fit: Fit) -> None:
    image = np.zeros((*size, 3), np.uint8)
    image[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 255
    letterbox = Letterbox.fixed(288, 352, fit)
    fitted = letterbox.of(image)
    assert fitted.picture.shape == (288, 352, 3)
    rows, columns = np.nonzero(fitted.picture[:, :, 0] > 200)
    found = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    expected = [size[1] // 4, size[0] // 4, size[1] // 2, size[0] // 2]
    np.testing.assert_allclose(fitted.to_frame(found)[0], expected, atol=1.5 * (1 / fitted.scale).max())
    with pytest.raises(UsageError, match="288x352 only"):
        letterbox.at(416)


@pytest.mark.parametrize("side", [None, 640])
@pytest.mark.parametrize("size", [(720, 1280), (960, 544), (200, 200), (97, 331)])
def test_boxes_come_back_to_frame_pixels(size: tuple[int, int], side: int | None) -> None:
    image = np.zeros((*size, 3), np.uint8)
    top, left, bottom, right = size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2
    image[top:bottom, left:right] = 255
    boxes, scores = DetectorSource(BrightDetector(), side=side).boxes(image, 0)
    pixel = max(size) / (side or 320)
    np.testing.assert_allclose(boxes[0], [left, top, right, bottom], atol=1.5 * pixel)
    assert scores[0] == pytest.approx(0.9)


def test_letterboxed_sides_are_multiples_of_32_and_keep_the_shape() -> None:
    fitted = Letterbox(320).of(np.full((720, 1280, 3), 255, np.uint8))
    picture = fitted.picture
    assert picture.shape == (192, 320, 3)
    assert fitted.scale == pytest.approx(0.25)
    assert (picture[:180] == 255).all()
    assert (picture[180:] == 114).all()


def test_unsure_cells_move_a_box_and_are_none_themselves() -> None:
    class Cells:
        letterbox, threshold, verifier = Letterbox(64), 0.5, None

        def detect(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            scores = np.array([[0.6, 0.45, 0.4]], np.float32)
            return scores, np.array([[[8, 8, 40, 40], [8, 8, 44, 40], [50, 50, 60, 60]]], np.float32)

    boxes, scores = DetectorSource(Cells()).boxes(np.zeros((64, 64, 3), np.uint8), 0)
    assert scores.tolist() == pytest.approx([0.6])
    np.testing.assert_allclose(boxes, [[8, 8, 40 + 4 * 0.45 / 1.05, 40]], rtol=1e-5)


class Marks:
    """Two cells that tell overlapping boxes, and one far from them that is unsure."""

    letterbox, threshold = Letterbox(128), 0.5

    def __init__(self, verifier: "Believer | None") -> None:
        self.verifier = verifier

    def detect(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores = np.array([[0.8, 0.6, 0.3]], np.float32)
        return scores, np.array([[[0, 0, 40, 40], [10, 0, 50, 40], [80, 64, 120, 124]]], np.float32)


class Believer:
    """Believes crops whose middle is bright, puts all boxes to the same place, and keeps what it was shown."""

    height, width, threshold = 32, 24, 0.45

    def __init__(self, bright: float, dark: float, place: tuple[float, ...] = (0, 0, 1, 1)) -> None:
        self.bright, self.dark, self.place = bright, dark, place
        self.shown: list[np.ndarray] = []

    def verify(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.shown.append(crops)
        scores = np.where(crops[:, 16, 12, 0] > 128, self.bright, self.dark).astype(np.float32)
        return scores, np.tile(np.array(self.place, np.float32), (len(crops), 1))


def bright_corner() -> np.ndarray:
    image = np.zeros((128, 128, 3), np.uint8)
    image[64:124, 80:120] = 255
    return image


def test_a_verifier_finds_those_of_whom_the_detector_is_unsure_and_drops_others() -> None:
    believer = Believer(0.9, 0.1)
    source = DetectorSource(Marks(believer))
    boxes, scores = source.boxes(bright_corner(), 0)
    np.testing.assert_allclose(boxes, [[80, 64, 120, 124]])
    np.testing.assert_allclose(scores, [np.sqrt(0.3 * 0.9)], rtol=1e-6)
    assert source.verified == 3
    # A crop shows half as much again as its box.
    crop = believer.shown[0][2][:, :, 0]
    assert (crop[7:25, 5:19] > 128).all()
    assert (crop[:4] < 128).all()
    assert (crop[:, :3] < 128).all()


def test_of_boxes_of_one_person_the_best_by_both_stays() -> None:
    boxes, scores = DetectorSource(Marks(Believer(1.0, 1.0))).boxes(bright_corner(), 0)
    np.testing.assert_allclose(scores, np.sqrt([0.8, 0.3]), rtol=1e-6)
    np.testing.assert_allclose(boxes[:, 0], [0, 80])
    alone, _ = DetectorSource(Marks(None)).boxes(bright_corner(), 0)
    assert len(alone) == 1


def test_of_boxes_on_one_who_is_followed_the_verifier_sees_the_best() -> None:
    source, image = DetectorSource(Marks(Believer(1.0, 1.0))), bright_corner()
    boxes, scores = source.boxes(image, 0)
    assert source.verified == 3
    again, same_scores = source.boxes(image, 0, boxes)
    assert source.verified == 3 + 2
    np.testing.assert_array_equal(again, boxes)
    np.testing.assert_array_equal(same_scores, scores)
    # Of two who stand close to each other both are seen.
    source.boxes(image, 0, np.array([[0, 0, 40, 40], [20, 0, 60, 40]], np.float32))
    assert source.verified == 3 + 2 + 3


class Crowd(Marks):
    """Ten people in two rows, each with a box at the right place and a less sure one beside it."""

    def detect(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        corners = np.array([[24.0 * column, 64.0 * row] for row in range(2) for column in range(5)])
        right = np.concatenate([corners, corners + np.array([20, 60])], 1)
        boxes = np.concatenate([right, right + np.array([5, 0, 5, 0])]).astype(np.float32)
        return np.repeat(np.array([[0.8, 0.6]], np.float32), 10, 1), boxes[None]


def test_in_a_crowd_duplicates_are_seen_only_where_the_best_box_may_be_wrong() -> None:
    image = np.zeros((128, 128, 3), np.uint8)
    sure = DetectorSource(Crowd(Believer(1.0, 1.0)))
    assert len(sure.boxes(image, 0)[0]) == 10
    assert (sure.verified, sure.crops_verified) == (10, 20)
    doubting = DetectorSource(Crowd(Believer(0.4, 0.4)))
    assert len(doubting.boxes(image, 0)[0]) == 10
    assert doubting.verified == 20


def test_in_a_crowd_followed_people_are_believed_as_the_detector_does_and_not_seen() -> None:
    image, source = np.zeros((128, 128, 3), np.uint8), DetectorSource(Crowd(Believer(0.1, 0.1)))
    people = np.array([[0, 0, 20, 60], [49, 0, 69, 60]], np.float32)
    boxes, scores = source.boxes(image, 0, people)
    np.testing.assert_allclose(boxes, [[0, 0, 20, 60], [48, 0, 68, 60]])
    np.testing.assert_allclose(scores, 0.8)
    # Their duplicates are not seen either, those of the others are.
    assert (source.verified, source.crops_verified) == (16, 16)


def test_a_detector_may_find_nothing_where_someone_is_followed() -> None:
    source = DetectorSource(Marks(Believer(1.0, 1.0)), threshold=0.95)
    boxes, scores = source.boxes(bright_corner(), 0, np.array([[0, 0, 40, 40]], np.float32))
    assert (len(boxes), len(scores), source.verified) == (0, 0, 0)


def test_a_verifier_puts_boxes_right_within_the_picture() -> None:
    source = DetectorSource(Marks(Believer(0.9, 0.1, (-0.4, 0.4, 1.4, 2))))
    boxes, _ = source.boxes(bright_corner(), 0)
    # Three quarters of the way.
    np.testing.assert_allclose(boxes, [[68, 82, 128, 128]], rtol=1e-6)


def test_boxes_that_are_put_to_the_same_place_are_one_person() -> None:
    class Same(Believer):
        calls = 0

        def verify(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            scores, places = super().verify(crops)
            # The second box is a quarter of its side to the right of the first; a mirror shows it on the left.
            self.calls += 1
            places[1, [0, 2]] += 1 / 3 if self.calls == 2 else -1 / 3
            return scores, places

    boxes, _ = DetectorSource(Marks(Same(1.0, 1.0)), overlap=0.7).boxes(bright_corner(), 0)
    np.testing.assert_allclose(boxes[:, 0], [0, 80])


def test_nothing_is_verified_where_nothing_is_found() -> None:
    believer = Believer(1.0, 1.0)
    source = DetectorSource(Marks(believer), threshold=0.95)
    boxes, scores = source.boxes(bright_corner(), 0)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
    assert not believer.shown
    assert source.verified == 0


def test_given_boxes_are_those_of_their_frame() -> None:
    source = GivenBoxesSource({3: np.array([[0, 0, 1, 1, 0.2], [5, 5, 9, 9, 0.8]], np.float32)})
    boxes, _ = source.boxes(np.zeros((4, 4, 3), np.uint8), 3)
    assert boxes.tolist() == [[5, 5, 9, 9], [0, 0, 1, 1]]
    assert len(source.boxes(np.zeros((4, 4, 3), np.uint8), 4)[0]) == 0
