export { SiskinVideo } from "./siskin-player.js";
