# Control plane. Build from the repository's root:
#   docker build -f infra/docker/cp.Dockerfile -t headgate-cp .
FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production \
    HEADGATE_DATA_DIR=/var/lib/headgate
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json headgate.mjs ./
COPY shared ./shared
COPY cp ./cp
RUN install -d -o node -g node -m 0700 /var/lib/headgate
USER node
VOLUME /var/lib/headgate
EXPOSE 8001 8005
CMD ["node", "headgate.mjs", "cp"]
