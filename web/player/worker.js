// The worker of an element: a session, and the messages of the page.

import { Session } from "./session.js";

/** What the page has opened; it starts a worker for each file. */
let session;

globalThis.onmessage = ({ data }) => {
  switch (data.type) {
    case "open":
      session = new Session((message, transfer) => globalThis.postMessage(message, transfer ?? []), data.generation);
      session.open(data).catch((error) => session.fail(error));
      break;
    case "connect":
      session.connect(data.port);
      break;
    case "seek":
      session.seek(data.seconds, data.speed, data.generation);
      break;
  }
};
