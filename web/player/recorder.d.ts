export { SiskinRecorder } from "./siskin-player.js";
