{{/* The beginning of all objects' names. A release whose name has the chart's in it is not repeated. */}}
{{- define "dummy-fuse-csi.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "dummy-fuse-csi.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The labels that choose a DaemonSet's pods: (list $ "component"). They cannot change in an upgrade. */}}
{{- define "dummy-fuse-csi.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "dummy-fuse-csi.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end -}}

{{/* The plugin's own folder on the node: its socket and its state. */}}
{{- define "dummy-fuse-csi.pluginDir" -}}
{{ .Values.kubeletDir }}/plugins/{{ .Values.driverName }}
{{- end -}}

{{/* The staging paths of inline ephemeral volumes. Not below the folder kubernetes.io, which is the kubelet's own. */}}
{{- define "dummy-fuse-csi.ephemeralDir" -}}
{{ .Values.kubeletDir }}/plugins/{{ .Values.driverName }}-ephemeral
{{- end -}}

{{/* dummy-fused's folder on the node: its socket, its records and the standby's socket. It does not outlive a boot, as the sessions do not. */}}
{{- define "dummy-fuse-csi.fusedDir" -}}
/run/{{ .Values.driverName }}
{{- end -}}

{{/* The holder's folder on the node, with its socket. */}}
{{- define "dummy-fuse-csi.holderDir" -}}
{{ include "dummy-fuse-csi.fusedDir" . }}/holder
{{- end -}}

{{/* Where the containers find the file of csi.plugin.program. */}}
{{- define "dummy-fuse-csi.programFile" -}}
/etc/dummy-fuse-csi/program.yaml
{{- end -}}

{{/* What every pod of a node has. */}}
{{- define "dummy-fuse-csi.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
