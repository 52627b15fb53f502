// The description of the API (openapi.json) for people: routes, parameters and responses.

const make = (tag, text = "", ...inner) => {
  const element = document.createElement(tag);
  element.textContent = text;
  element.append(...inner);
  return element;
};

function table(heads, rows) {
  const cells = (tag, texts) => make("tr", "", ...texts.map((text) => make(tag, text)));
  return make("table", "", make("thead", "", cells("th", heads)), make("tbody", "", ...rows.map((row) => cells("td", row))));
}

function kind(schema = {}) {
  if (schema.anyOf) return schema.anyOf.filter(({ type }) => type !== "null").map(kind).join(" or ");
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.join(", ");
  if (schema.items) return `list of ${kind(schema.items)}`;
  const bounds = [schema.minimum ?? schema.exclusiveMinimum, schema.maximum].filter((bound) => bound !== undefined);
  return `${schema.type ?? "any"}${bounds.length ? ` (${bounds.join(" to ")})` : ""}`;
}

function route(path, method, told) {
  const parameters = (told.parameters ?? []).map(({ name, schema, description }) => [name, kind(schema), description ?? ""]);
  const bodies = Object.keys(told.requestBody?.content ?? {}).join(" or ");
  const responses = Object.entries(told.responses).map(([status, { description, content }]) => [status, description, Object.keys(content ?? {}).join(", ")]);
  const section = make("section", "", make("h2", `${method.toUpperCase()} ${path}`), make("p", told.description));
  if (bodies) section.append(make("p", `Body: ${bodies}`));
  if (parameters.length) section.append(table(["parameter", "type", ""], parameters));
  const details = make("details", "", make("summary", "Responses"), table(["status", "", "type"], responses));
  section.append(details);
  return section;
}

const main = document.querySelector("main");
const response = await fetch("openapi.json");
if (response.ok) {
  const { paths, components } = await response.json();
  for (const [path, methods] of Object.entries(paths)) for (const [method, told] of Object.entries(methods)) main.append(route(path, method, told));
  for (const [name, { properties = {}, description = "" }] of Object.entries(components.schemas)) {
    const rows = Object.entries(properties).map(([property, schema]) => [property, kind(schema), schema.description ?? ""]);
    if (rows.length) main.append(make("section", "", make("h2", name), make("p", description), table(["field", "type", ""], rows)));
  }
} else {
  main.append(make("p", (await response.json()).detail));
}
