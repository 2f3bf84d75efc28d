"""Video in, video and result files out; import from the modules, so that `frames` loads neither OpenCV nor PyAV."""
