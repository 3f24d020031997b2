"use strict";
// The OpenAPI description as a page, without anything from elsewhere.
function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function code(value) {
  return element("pre", typeof value === "string" ? value : JSON.stringify(value, null, 2));
}

function example(path, method, operation) {
  const address = location.origin + path.replace("{name}", "NAME");
  if (path === "/predict") return `curl --data-binary @picture.jpg -H "Content-Type: image/jpeg" ${address}`;
  if (operation.requestBody) return `curl -d '{"inputs": [...]}' ${address}`;
  return `curl ${method === "post" ? "-X POST " : ""}${address}`;
}

function operationOf(path, method, operation) {
  const made = element("details");
  const summary = element("summary");
  summary.append(element("code", `${method.toUpperCase()} ${path}`), ` ${operation.summary}`);
  made.append(summary);
  if (operation.description) made.append(element("p", operation.description));
  made.append(code(example(path, method, operation)));
  for (const parameter of operation.parameters || []) {
    const about = [`in ${parameter.in}`, parameter.description, JSON.stringify(parameter.schema)].filter(Boolean).join(", ");
    made.append(element("p", `${parameter.name}: ${about}`));
  }
  if (operation.requestBody) made.append(element("p", "Takes"), code(operation.requestBody.content));
  for (const [status, answer] of Object.entries(operation.responses)) {
    const forms = Object.entries(answer.content || {}).map(([kind, content]) => `${kind} ${content.schema.$ref || ""}`);
    made.append(element("p", `${status}: ${answer.description} (${forms.join(", ")})`));
  }
  return made;
}

fetch("/openapi.json").then((answer) => answer.json()).then((told) => {
  document.getElementById("about").textContent = told.info.description;
  for (const [path, methods] of Object.entries(told.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      document.getElementById("paths").append(operationOf(path, method, operation));
    }
  }
  for (const [name, schema] of Object.entries(told.components.schemas)) {
    const made = element("details");
    made.append(element("summary", name), code(schema));
    document.getElementById("schemas").append(made);
  }
});
