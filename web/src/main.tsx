import { render } from "preact";
import { App } from "./app";
import { soon } from "./staged";
import "./styles.css";

// To read the script takes a task, and to draw the page another one.
soon(() => render(<App />, document.getElementById("app")!));
