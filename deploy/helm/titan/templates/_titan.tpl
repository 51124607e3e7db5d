{{- define "titan.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* The pods of an app, spread over the nodes that differ in each label. */}}
{{- define "titan.spread" -}}
{{- $app := index . 0 -}}
topologySpreadConstraints:
{{- range index . 1 }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {app: {{ $app }}}
{{- end }}
{{- end -}}
