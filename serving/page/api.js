// Requests to the server: TensorFlow Serving's REST API, the taught rows, and the page's own routes.

let token = "";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function useToken(value) {
  token = value;
}

async function request(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new ApiError(0, "The server does not answer.");
  }
  if (response.ok) return response;
  let message = response.statusText;
  try {
    const answer = await response.json();
    message = answer.rows?.length === 1 ? answer.rows[0].error : answer.error;
  } catch {
    // Not every error has a body in JSON.
  }
  throw new ApiError(response.status, message);
}

const json = async (path, options) => (await request(path, options)).json();
const post = (path, body) => json(path, { method: "POST", body: JSON.stringify(body) });
const modelPath = (model) => `/v1/models/${encodeURIComponent(model)}`;
const pagePath = (model) => `/page/models/${encodeURIComponent(model)}`;

export async function models() {
  return (await json("/page/models")).models;
}

// The outputs of a signature for one image, by name; a single output has the name given.
export async function ask(model, signature, encoded, single) {
  const answer = await post(`${modelPath(model)}:predict`, {
    signature_name: signature,
    instances: [{ b64: encoded }],
  });
  const prediction = answer.predictions[0];
  return single ? { [single]: prediction } : prediction;
}

export async function rowsMap(model) {
  try {
    return await json(`${pagePath(model)}/map`);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

// The picture of a row as a URL for an image: a taught one's is its image, a stored one's a
// thumbnail. Null where there is none.
export async function picture(model, row) {
  try {
    if (row < 0) return `data:;base64,${(await taughtRow(model, row)).image_bytes.b64}`;
    const response = await request(`${pagePath(model)}/thumbnails/${row}`);
    return URL.createObjectURL(await response.blob());
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

// A page of the taught rows: those of a label, or all where it is empty, after a row or from the first.
export function taughtRows(model, limit, label, after) {
  const query = new URLSearchParams({ limit });
  if (label) query.set("label", label);
  if (after !== undefined) query.set("after", after);
  return json(`${modelPath(model)}/rows?${query}`);
}

export const taughtRow = (model, row) => json(`${modelPath(model)}/rows/${row}`);
export const forget = (model, row) => json(`${modelPath(model)}/rows/${row}`, { method: "DELETE" });

export function teach(model, encoded, label, source) {
  const row = { image_bytes: { b64: encoded }, label, ...(source ? { source } : {}) };
  return post(`${modelPath(model)}/rows`, { rows: [row] });
}
