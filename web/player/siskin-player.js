// All elements: <siskin-audio>, <siskin-video>, <siskin-recorder>. A page that needs one of them may import that alone.

export { SiskinAudio } from "./audio.js";
export { configure } from "./places.js";
export { SiskinRecorder } from "./recorder.js";
export { SiskinVideo } from "./video.js";
