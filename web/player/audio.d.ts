export { SiskinAudio } from "./siskin-player.js";
