// What fhir-kit-client does against BASE with TOKEN; prints what it saw as JSON.
import * as kit from "fhir-kit-client";

const Client = kit.Client ?? kit.default;
const baseUrl = process.env.BASE;
const client = new Client({ baseUrl, bearerToken: process.env.TOKEN });
const seen = { versions: [] };
const version = (resource) => seen.versions.push(resource.meta.versionId);

seen.version = (await client.capabilityStatement()).fhirVersion;
seen.token = String((await client.smartAuthMetadata()).tokenUrl);

const made = await client.create({ resourceType: "Patient", body: { resourceType: "Patient", name: [{ family: "Node" }] } });
const patient = { resourceType: "Patient", id: made.id };
version(made);
version(await client.vread({ ...patient, version: "1" }));
version(await client.update({ ...patient, body: { ...made, gender: "male" } }));
version(await client.read(patient));
version(await client.patch({ ...patient, jsonPatch: [{ op: "replace", path: "/gender", value: "other" }] }));

const search = { resourceType: "Patient", searchParams: { family: "Node" } };
seen.found = (await client.resourceSearch(search)).entry.length;
seen.posted = (await client.resourceSearch({ ...search, options: { postSearch: true } })).entry.length;

for (let number = 0; number < 5; number++) {
  const about = { status: "final", code: { text: "x" }, subject: { reference: `Patient/${made.id}` } };
  await client.create({ resourceType: "Observation", body: { resourceType: "Observation", ...about } });
}
seen.paged = 0;
let page = await client.search({ resourceType: "Observation", searchParams: { patient: made.id, _count: 2 } });
while (page) {
  seen.paged += page.entry.length;
  page = await client.nextPage({ bundle: page });
}
seen.history = (await client.history(patient)).entry.length;
const everything = await client.operation({ name: "$everything", ...patient, method: "GET" });
seen.everything = everything.entry.filter((it) => it.resource.resourceType !== "Provenance").length;

const parameter = [{ name: "resource", resource: { resourceType: "Patient" } }];
const input = { resourceType: "Parameters", parameter };
seen.valid = (await client.operation({ name: "$validate", resourceType: "Patient", input })).issue[0].severity;

const bundle = (type, request, resource) => ({ resourceType: "Bundle", type, entry: [{ request, resource }] });
const url = `Patient/${made.id}`;
seen.batch = (await client.batch({ body: bundle("batch", { method: "GET", url }) })).entry[0].response.status;
const put = bundle("transaction", { method: "PUT", url }, { ...made, active: true });
seen.transaction = (await client.transaction({ body: put })).entry[0].response.status;
seen.resolved = (await client.resolve({ reference: `${baseUrl}/${url}` })).active;
await client.delete(patient);
seen.gone = await client.read(patient).then(() => 200, (error) => error.response.status);

console.log(JSON.stringify(seen));
