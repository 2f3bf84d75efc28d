from vipnas_cli import PoseTracker, read_video, track

for _frame, time_s, people in track("examples/two_people.mp4", budget="0.2GFLOPs", end_s=1):
    for person, points, scores in zip(people.ids, people.points_frame, people.scores, strict=True):
        print(f"{time_s:.2f} s: nose of person {person} at {points[0].round(1)}, score {scores[0]:.2f}")

tracker = PoseTracker(budget="0.1GFLOPs", max_people=1, smooth="low")
with read_video("examples/two_people.mp4", start_s=1, end_s=2) as video:
    for frame in video:  # or frames of a camera: RGB pictures, each with its time in seconds
        people = tracker(frame.image, frame.time_s)
print(f"{len(people)} person, in the box {people.boxes_frame.round()}")
